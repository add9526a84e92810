/** The page's client as a library, `rekeycast/client`: docs/api.md says how to use it. The demo page stands on exactly this. */

export type { DemoAction, DemoOutcome, Role } from '../signaling/protocol.ts';
export type { Capture, Devices, PictureWish } from './camera.ts';
export { type ConnectOptions, connect, type Visit, type VisitState } from './connect.ts';
export type { AccessProblem, CameraProblem, DemoOffer, Facts, PageState, Problem } from './facts.ts';
