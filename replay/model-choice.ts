import {
  chooseProfile,
  createKernel,
  type EffectSink,
  type Kernel,
  type Machine,
  machineOf,
  NO_EFFECTS,
  type Profile,
  type ProfileChoice,
} from '../src/model/index.ts';
import { mergeTopologies, type Topology } from '../src/trace/index.ts';
import type { Store, TraceInfo } from '../store/index.ts';
import { type InferredTopology, inferTopology } from './infer-topology.ts';

/** What stands in for the kernel and the hardware that a trace names. */
export interface ModelChoice {
  /** Kernel release or profile name; the trace's own by default. */
  readonly kernel?: string | null;
  /** Facts of the hardware: what it has takes the place of what the header says. */
  readonly topology?: Topology | null;
}

/** The model that a trace is applied to. */
export interface ChosenModel {
  readonly profile: Profile;
  /** False when the kernel has no profile of its own. */
  readonly exact: boolean;
  readonly machine: Machine;
  /** The hardware is that of the header: only then a snapshot of the store is one of this model. */
  readonly ownMachine: boolean;
  /** What was assumed of a machine that nobody describes, as a sentence. */
  readonly assumption: string | null;
  /** The machine that was assumed; null when the trace, or the caller, describes one. */
  readonly inferred: InferredTopology | null;
}

/** The kernel profile that a trace is replayed with. */
export function profileOf({ header }: TraceInfo, { kernel }: ModelChoice): ProfileChoice {
  return chooseProfile(kernel ?? header.kernel, header.pageSizeBytes);
}

/** Chooses it; without `replies`, from nothing that the kernel answered. */
export function chooseModel(
  store: Store,
  trace: TraceInfo,
  { kernel, topology }: ModelChoice,
  replies = true,
): ChosenModel {
  const { header } = trace;
  const { profile, exact } = profileOf(trace, { kernel: kernel ?? null });
  const ownMachine = topology == null;
  const inferred = ownMachine ? inferTopology(store, trace, replies) : null;
  const used = ownMachine
    ? (inferred?.topology ?? header.topology)
    : mergeTopologies(header.topology, topology);
  const machine = machineOf({ ...header, topology: used });
  return { profile, exact, machine, ownMachine, assumption: inferred?.says ?? null, inferred };
}

/** A kernel that has seen nothing yet. */
export function createModel(
  trace: TraceInfo,
  { profile, machine }: ChosenModel,
  effects: EffectSink = NO_EFFECTS,
): Kernel {
  return createKernel(profile, servesContainers(trace), effects, machine);
}

/** A capture says in its quirks when the classic type1 driver serves /dev/vfio/vfio. */
function servesContainers({ header }: TraceInfo): boolean {
  return !header.quirks.some((quirk) => quirk.includes('vfio-container=type1'));
}
