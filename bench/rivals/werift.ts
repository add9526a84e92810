import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters } from 'werift';
import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { LOOPBACK } from '../../test/support/ports.ts';
import { attribute, candidateIn, openDoor } from './door.ts';

/** A forwarding server in plain JavaScript on werift, for `bench/fanout.ts`: one peer connection with one transceiver for each viewer. */

const tracks: MediaStreamTrack[] = [];
const ingress = createSocket('udp4');
ingress.on('message', (packet) => {
  for (const track of tracks) track.writeRtp(packet);
});
ingress.bind(0, LOOPBACK);
await once(ingress, 'listening');

await openDoor(ingress.address().port, [process.pid], async () => {
  const peer = new RTCPeerConnection({
    codecs: {
      audio: [],
      video: [
        new RTCRtpCodecParameters({
          mimeType: 'video/VP8',
          clockRate: 90_000,
          payloadType: PAYLOAD_TYPE.vp8,
          rtcpFeedback: [{ type: 'nack' }, { type: 'goog-remb' }],
        }),
      ],
    },
    iceServers: [],
    iceLite: true,
    iceUseIpv6: false,
    iceAdditionalHostAddresses: [LOOPBACK],
  });
  const track = new MediaStreamTrack({ kind: 'video' });
  peer.addTransceiver(track, { direction: 'sendonly' });
  await peer.setLocalDescription(await peer.createOffer());
  const { sdp } = peer.localDescription!;
  return {
    transport: {
      ufrag: attribute(sdp, 'ice-ufrag'),
      pwd: attribute(sdp, 'ice-pwd'),
      fingerprint: attribute(sdp, 'fingerprint'),
      address: candidateIn(sdp),
    },
    answered: async (answer) => {
      const taken = ['ice-ufrag', 'ice-pwd', 'fingerprint'].map(
        (name) => `a=${name}:${attribute(answer, name)}`,
      );
      const kept = sdp
        .split('\r\n')
        .filter(
          (line) =>
            !/^a=(ice-ufrag|ice-pwd|fingerprint|candidate|end-of|ssrc|msid|setup|sendonly)/.test(line),
        );
      const lines = [...kept.filter((line) => line !== ''), ...taken, 'a=setup:passive', 'a=recvonly', ''];
      await peer.setRemoteDescription({ type: 'answer', sdp: lines.join('\r\n') });
      tracks.push(track);
    },
  };
});
process.on('disconnect', () => process.exit());
