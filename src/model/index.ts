/** The public entry of src/model: the executable kernel. */
export { adoptReply } from './adopt.ts';
export { type Advice, adviceOn, advisedIds } from './advice/index.ts';
export { firstArea, firstAreaIn, NONE as NO_AREA, nextArea, someArea } from './area-table.ts';
export {
  type CallFacts,
  CHECK_ORDER,
  type CheckPlan,
  type CheckResult,
  type CheckStatus,
  commandsByReason,
  factsOf,
  markChecks,
  planChecks,
} from './check-order/index.ts';
export { type Effect, type EffectList, listEffects } from './effect-list.ts';
export { countEffects, type EffectCounts, type EffectSink, NO_EFFECTS } from './effects.ts';
export { execute, exitProcess } from './execute.ts';
export {
  type AreaFacts,
  containerKey,
  contextKey,
  describeNodes,
  listAreas,
  type NodeFacts,
  type NodeKind,
  objectKey,
  visitNodes,
  visitReferences,
  visitReferencesOf,
} from './graph/index.ts';
export { pageAt } from './held-pages.ts';
export type { IovaSpace } from './iova-space.ts';
export { createKernel, type Kernel, type Reply, spaceOf } from './kernel.ts';
export { type Learned, learnReply } from './learn.ts';
export { isLimitOpen } from './learn-limit.ts';
export { type LearnedFact, learnedFacts } from './learned-facts.ts';
export { type Iommu, type Machine, machineOf, type PhysicalDevice } from './machine.ts';
export {
  type ColumnReader,
  type ColumnWriter,
  createColumnReader,
  createColumnWriter,
} from './number-columns.ts';
export { describeObject, type FactValue, type ObjectFacts } from './object-facts.ts';
export {
  isStructAsRecorded,
  type PredictedBuffer,
  predictedBuffers,
  predictedRead,
  predictedStruct,
} from './outcome.ts';
export { areaOrder, packKernel, unpackKernel } from './pack.ts';
export { type PageRun, pinnedPageRuns, userPageRuns } from './page-runs.ts';
export type { PasidChange, PasidChangeKind, PasidChangeTarget } from './pasid-change.ts';
export { executeWithPatches, type PatchedReply } from './patches.ts';
export { chooseProfile, type Profile, type ProfileChoice, withoutSelftest } from './profile.ts';
export { type ProposalFinding, proposalFindings, renderHardware } from './proposal/index.ts';
export { allReasons, type Reason } from './reason.ts';
export {
  type Finding,
  findRemedy,
  holdersOf,
  type Origin,
  type Remedy,
  remediedIds,
} from './remedy/index.ts';
export { restoreKernel, serializeKernel, snapshotVersion } from './serialize.ts';
export type { Context, Device, HwptNested, HwptPaging, Ioas, KernelObject, PagingDomain } from './state.ts';
export { describeChanges } from './state-changes.ts';
export { locatePage, type PageIdentity } from './user-memory.ts';
export { describeVfio, type VfioFacts } from './vfio-facts.ts';
