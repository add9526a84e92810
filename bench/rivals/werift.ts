import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters } from 'werift';
import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { LOOPBACK } from '../../test/support/ports.ts';
import { answerTo, openDoor, transportIn } from './door.ts';

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
    transport: transportIn(sdp),
    answered: async (answer) => {
      await peer.setRemoteDescription({ type: 'answer', sdp: answerTo(sdp, answer) });
      tracks.push(track);
    },
  };
});
process.on('disconnect', () => process.exit());
