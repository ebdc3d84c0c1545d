/** The public entry of src/model: the executable kernel. */
export { adoptReply } from './adopt.ts';
export { countEffects, type EffectCounts, type EffectSink, NO_EFFECTS } from './effects.ts';
export { execute, exitProcess } from './execute.ts';
export { createKernel, type Kernel, type Reply } from './kernel.ts';
export {
  isStructAsRecorded,
  type PredictedBuffer,
  predictedBuffers,
  predictedRead,
  predictedStruct,
} from './outcome.ts';
export { executeWithPatches, type PatchedReply } from './patches.ts';
export { chooseProfile, type Profile, type ProfileChoice } from './profile.ts';
export type { Reason } from './reason.ts';
export { MODEL_VERSION, restoreKernel, serializeKernel } from './serialize.ts';
