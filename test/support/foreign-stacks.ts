import * as datachannel from 'node-datachannel';
import { MediaStreamTrack, RTCPeerConnection, RtpPacket } from 'werift';
import type { ForeignStack } from './headless-page.ts';
import { LOOPBACK } from './ports.ts';

/** libdatachannel: libjuice for ICE, its own DTLS and SRTP on OpenSSL and libsrtp. */
export const libdatachannel: ForeignStack = (role, receive) => {
  const connection = new datachannel.PeerConnection('test', { iceServers: [], bindAddress: LOOPBACK });
  const tracks: datachannel.Track[] = [];
  connection.onTrack((track) => {
    tracks.push(track);
    if (role === 'viewer') track.onMessage((message) => receive(new Uint8Array(message)));
  });
  return {
    answer: (offer) =>
      new Promise((resolve) => {
        connection.onLocalDescription((sdp) => resolve(sdp));
        connection.setRemoteDescription(offer, 'offer');
      }),
    send: (packet) => {
      const video = tracks.find((track) => track.type() === 'video');
      if (video?.isOpen()) video.sendMessageBinary(Buffer.from(packet));
    },
    close: () => connection.close(),
  };
};

/** werift: ICE, DTLS and SRTP in TypeScript. */
export const werift: ForeignStack = (role, receive) => {
  const connection = new RTCPeerConnection({ iceServers: [], iceAdditionalHostAddresses: [LOOPBACK] });
  const video = new MediaStreamTrack({ kind: 'video' });
  connection.onTrack.subscribe((track) => {
    track.onReceiveRtp.subscribe((packet) => receive(new Uint8Array(packet.serialize())));
  });
  return {
    answer: async (offer) => {
      await connection.setRemoteDescription({ type: 'offer', sdp: offer });
      if (role === 'broadcaster') {
        const transceiver = connection.getTransceivers().find(({ kind }) => kind === 'video');
        await transceiver?.sender.replaceTrack(video);
        transceiver?.setDirection('sendonly');
      }
      const answer = await connection.createAnswer();
      // It would take the client's part against an offer that has taken it (RFC 8842 §5.3 leaves the answerer "passive").
      const sdp = answer.sdp.replaceAll('a=setup:active', 'a=setup:passive');
      await connection.setLocalDescription({ type: 'answer', sdp });
      return connection.localDescription!.sdp.replaceAll('a=setup:active', 'a=setup:passive');
    },
    send: (packet) => video.writeRtp(RtpPacket.deSerialize(Buffer.from(packet))),
    close: () => void connection.close(),
  };
};
