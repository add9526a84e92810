import { createRequire } from 'node:module';
import { join } from 'node:path';
import { PAYLOAD_TYPE } from '../../src/room/media.ts';
import { LOOPBACK } from '../../test/support/ports.ts';
import { ROOT } from '../../test/support/process.ts';
import { attribute, openDoor } from './door.ts';

/** mediasoup with one worker, for `bench/fanout.ts`. What `prepare.mjs` has brought is of no version that has types here. */

const FOLDER = join(ROOT, 'node_modules', '.cache', 'rekeycast-rivals', 'mediasoup');
// biome-ignore lint/suspicious/noExplicitAny: see above
const mediasoup: any = createRequire(join(FOLDER, 'package.json'))('@mafalda-sfu/mediasoup');

const VIDEO = { kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 };
const FEEDBACK = [
  { type: 'nack', parameter: '' },
  { type: 'nack', parameter: 'pli' },
  { type: 'goog-remb', parameter: '' },
];

const worker = await mediasoup.createWorker({ logLevel: 'error', disableLiburing: false });
const router = await worker.createRouter({
  mediaCodecs: [{ ...VIDEO, preferredPayloadType: PAYLOAD_TYPE.vp8, rtcpFeedback: FEEDBACK }],
});
const ingress = await router.createPlainTransport({ listenIp: LOOPBACK, rtcpMux: true, comedia: true });
const producer = await ingress.produce({
  kind: 'video',
  rtpParameters: {
    codecs: [{ ...VIDEO, payloadType: PAYLOAD_TYPE.vp8, rtcpFeedback: FEEDBACK }],
    encodings: [{ ssrc: 0x1234 }],
  },
});
const server = await worker.createWebRtcServer({ listenInfos: [{ protocol: 'udp', ip: LOOPBACK }] });
// Of the capabilities of browsers all but those header extensions that would change with each packet.
const rtpCapabilities = {
  codecs: router.rtpCapabilities.codecs.map(
    (codec: { readonly rtcpFeedback: readonly { readonly type: string }[] }) => ({
      ...codec,
      rtcpFeedback: codec.rtcpFeedback.filter(({ type }) => type !== 'transport-cc'),
    }),
  ),
  headerExtensions: [],
};

await openDoor(ingress.tuple.localPort, [process.pid, worker.pid], async () => {
  const transport = await router.createWebRtcTransport({ webRtcServer: server, enableUdp: true });
  const { usernameFragment: ufrag, password: pwd } = transport.iceParameters;
  const [{ ip, port }] = transport.iceCandidates;
  const { value } = transport.dtlsParameters.fingerprints.find(
    ({ algorithm }: { readonly algorithm: string }) => algorithm === 'sha-256',
  );
  return {
    transport: { ufrag, pwd, fingerprint: `sha-256 ${value}`, address: { ip, port } },
    answered: async (sdp) => {
      const [algorithm, hash] = attribute(sdp, 'fingerprint').split(' ');
      await transport.connect({
        dtlsParameters: { role: 'server', fingerprints: [{ algorithm, value: hash }] },
      });
      await transport.consume({ producerId: producer.id, rtpCapabilities });
    },
  };
});
process.on('disconnect', () => {
  worker.close();
  process.exit();
});
