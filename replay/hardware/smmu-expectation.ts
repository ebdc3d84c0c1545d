import type { HardwareDomain, HardwareView, SlotState } from './domain.ts';
import type { ArmGeometry } from './formats/arm-lpae.ts';
import type { PageTable } from './page-table.ts';
import type { SmmuCommand } from './smmu-commands.ts';
import { contextDescriptor } from './smmu-context-descriptor.ts';
import type { Driver, DriverStream } from './smmu-driver.ts';
import type { SmmuFeatures } from './smmu-features.ts';
import type { GuestTables } from './smmu-guest-tables.ts';
import {
  abortEntry,
  guestConfig,
  guestEntry,
  nestedEntry,
  type SmmuStream,
  type Stage2,
  stage1Entry,
  stage2Entry,
} from './smmu-stream-table.ts';
import { unknownField, word } from './smmu-words.ts';
import type { TableFormat, Word } from './table-format.ts';

/** What an SMMU should hold for its streams, and what should have been queued. */

export interface ExpectedStream {
  readonly entry: readonly Word[];
  /** Context descriptor of the RID that the entry leads to; null when it leads to none of the kernel's. */
  readonly context: readonly Word[] | null;
  readonly stage1: PageTable | null;
  readonly stage2: PageTable | null;
  /** Tables of the guest, when the entry leads to some and the trace tells of them. */
  readonly guest: GuestTables | null;
}

export interface ExpectedCommand extends SmmuCommand {
  /** False where nobody outside the kernel can know whether it is there. */
  readonly isSure: boolean;
}

export interface SmmuExpectation {
  /** Null for a device that no trace tells of. */
  stream(bdf: string): ExpectedStream | null;
  /** Commands since the dump before; null when that is not known. */
  readonly commands: readonly ExpectedCommand[] | null;
  /** The commands may be preceded by others, of before the trace. */
  readonly mayFollowOthers: boolean;
}

/** From a view of the state alone: tag ids are unknown, and what the queue held. */
export function expectationOf(view: HardwareView, features: SmmuFeatures): SmmuExpectation {
  return {
    stream(bdf) {
      const slot = view.slots.find((each) => each.bdf === bdf && each.pasid === 0);
      return slot === undefined ? null : streamOfState(view, features, slot.state);
    },
    commands: null,
    mayFollowOthers: true,
  };
}

/** What the state of a slot alone tells of its stream; null when that is nothing. */
export function streamOfState(
  view: HardwareView,
  features: SmmuFeatures,
  state: SlotState,
): ExpectedStream | null {
  // Where the SMMU has substreams, how many of them the device has is in no view: bits of S1CDMax stay open.
  const stream: SmmuStream = { features, substreamBits: 0, ats: features.ats ? null : false };
  const nothing = { context: null, stage1: null, stage2: null, guest: null };
  if (state.kind === 'kernel') return null;
  if (state.kind === 'blocked') return { ...nothing, entry: abortEntry() };
  const domain = view.domains.find(({ key }) => key === state.domain);
  if (domain?.table == null) return null;
  const geometry = geometryOf(domain.table.format, features);
  if (domain.table.format.name.startsWith('smmu-s1')) {
    const { coherent } = features;
    const context = contextDescriptor({ geometry, coherent, asid: null, tracksDirty: domain.tracking });
    const entry = withOpenSubstreams(stage1Entry(stream), features);
    return { ...nothing, entry, context, stage1: domain.table };
  }
  const parent = stage2Of(domain, geometry, features);
  if (state.kind === 'paging')
    return { ...nothing, entry: stage2Entry(stream, parent), stage2: domain.table };
  const guest = guestEntry(state.data);
  const entry = nestedEntry(stream, parent, guest);
  return { ...nothing, entry, stage2: guestConfig(guest) === 'abort' ? null : domain.table };
}

function stage2Of({ nestParent }: HardwareDomain, geometry: ArmGeometry, features: SmmuFeatures): Stage2 {
  return { geometry, vmid: null, forcesWriteBack: nestParent && features.forcesWriteBack };
}

function withOpenSubstreams([first, ...rest]: readonly Word[], { substreamBits }: SmmuFeatures): Word[] {
  if (first === undefined || substreamBits === 0) return first === undefined ? [] : [first, ...rest];
  const open = [unknownField('S1Fmt', 5, 4), unknownField('S1CDMax', 63, 59)];
  return [word(first.value, ...first.unknown, ...open), ...rest];
}

/** Geometry of a table that was made by arm-stage1.ts or arm-stage2.ts. */
function geometryOf(format: TableFormat, { outputBits }: SmmuFeatures): ArmGeometry {
  const granuleShift = format.itemShift(1);
  const { levels } = format;
  return {
    granuleShift,
    bitsPerLevel: granuleShift - 3,
    levels,
    rootBits: format.indexBits(levels),
    inputBits: format.itemShift(levels) + format.indexBits(levels),
    outputBits: Math.min(outputBits, granuleShift === 16 ? 52 : 48),
    leafSizes: format.leafSizes,
  };
}

export interface DriverExpectation {
  /** Queued after this call … */
  readonly afterSeq: number;
  /** … which is where the trace begins: others may have been queued before. */
  readonly mayFollowOthers: boolean;
  /** What guests' tables hold, by device. */
  readonly guests: ReadonlyMap<number, GuestTables>;
  /** Device of a bus address. */
  deviceOf(bdf: string): number | null;
}

/** From the driver's whole history: ids of tags, descriptors left in memory, and the queue. */
export function expectationOfDriver(driver: Driver, options: DriverExpectation): SmmuExpectation {
  return {
    stream(bdf) {
      const device = options.deviceOf(bdf);
      const stream = device === null ? undefined : driver.streams.get(device);
      return stream === undefined ? null : streamOfDriver(stream, options.guests.get(stream.device) ?? null);
    },
    commands: driver.queue
      .filter(({ seq }) => seq > options.afterSeq)
      .map(({ command, isSure }) => ({ ...command, isSure })),
    mayFollowOthers: options.mayFollowOthers,
  };
}

const CONFIG_STAGE_1 = 5n;
const CONFIG_STAGE_2 = 6n;
const CONFIG_NESTED = 7n;

function streamOfDriver(stream: DriverStream, guest: GuestTables | null): ExpectedStream {
  const entry = stream.entryInMemory.words;
  const config = ((entry[0]?.value ?? 0n) >> 1n) & 7n;
  const domain = stream.domains.get(0);
  const isOwn = domain === undefined || domain === stream.own;
  return {
    entry,
    context: config === CONFIG_STAGE_1 ? (stream.contexts.get(0)?.words ?? null) : null,
    // Nobody outside the kernel knows what its own domains hold.
    stage1: config === CONFIG_STAGE_1 && !isOwn ? domain.table : null,
    stage2: (config === CONFIG_STAGE_2 || config === CONFIG_NESTED) && !isOwn ? domain.table : null,
    guest: config === CONFIG_NESTED ? guest : null,
  };
}
