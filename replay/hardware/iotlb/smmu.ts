import type { DriverLog, DriverOp } from '../driver-op.ts';
import type { SmmuCommand } from '../smmu-commands.ts';
import { OPCODE } from '../smmu-commands.ts';
import type { Driver } from '../smmu-driver.ts';
import { featuresOf } from '../smmu-features.ts';
import { featuresOfIommu, optionsOf } from '../smmu-look.ts';
import { bootSmmu, execute } from '../smmu-run.ts';
import { type Invalidation, LAST_PAGE, WHOLE } from './invalidation.ts';
import type { LiveState } from './live-state.ts';

/** Invalidations of an SMMUv3: the commands that its driver queues, taken apart. */

/** IDR0 with both stages, coherent walks and ATS; an SMMU of which the trace told no registers. */
const USUAL = featuresOf([0x413, 0, 0, 0, 0, 5]);

export interface SmmuCaches {
  execute(op: DriverOp): void;
}

export function createSmmu(state: LiveState, iommu: string): SmmuCaches {
  const { kernel, history } = state;
  const features = featuresOfIommu(kernel, iommu) ?? USUAL;
  // Ids count from 1 in each number space: enough to tell domains apart.
  const options = optionsOf(kernel, features, iommu, { asids: 0, vmids: 0 });
  const log: DriverLog = { ...state.log, iommu };
  const driver = bootSmmu(log, history, features, options);
  const tags: Tags = new Map();
  return {
    execute(op) {
      if ('domain' in op && log.domains.get(op.domain)?.iommu !== iommu) return;
      driver.seq = op.seq;
      execute(driver, op);
      if (op.op === 'alloc') noteTag(tags, driver, op.domain);
      for (const { command, isSure } of driver.queue) {
        const told = invalidationOf({ driver, iommu, tags }, op, command);
        if (told !== null) state.tell({ ...told, certainty: isSure ? 'sure' : 'possible' });
      }
      driver.queue.length = 0;
    },
  };
}

const bitsOf = (word: bigint, high: number, low: number): number =>
  Number((word >> BigInt(low)) & ((1n << BigInt(high - low + 1)) - 1n));

/** Null for commands that invalidate nothing. */
function invalidationOf(
  { driver, iommu, tags }: Smmu,
  op: DriverOp,
  { words }: SmmuCommand,
): Invalidation | null {
  const [first, second] = [words[0].value, words[1].value];
  const isGuests = op.op === 'guest';
  const base = {
    ...WHOLE,
    seq: op.seq,
    iommu,
    who: isGuests ? ('user' as const) : ('kernel' as const),
    cause: isGuests ? ('guest' as const) : op.op === 'steps' ? ('unmap' as const) : ('entry' as const),
  };
  const device = deviceOf(driver, bitsOf(first, 63, 32));
  const pasid = bitsOf(first, 31, 12);
  switch (bitsOf(first, 7, 0)) {
    case OPCODE.CFGI_STE:
      return { ...base, cache: 'context', granularity: 'device', device };
    case OPCODE.CFGI_CD:
      return { ...base, cache: 'pasid', granularity: 'device', device, pasid };
    case OPCODE.CFGI_CD_ALL:
      return { ...base, cache: 'pasid', granularity: 'device', device };
    case OPCODE.ATC_INV:
      // Without a valid substream, all of the device are meant.
      return {
        ...base,
        cache: 'device-tlb',
        ...atcRange(second),
        device,
        pasid: (first & (1n << 11n)) === 0n ? null : pasid,
      };
    case OPCODE.TLBI_S2_IPA:
      return {
        ...base,
        cache: 'iotlb',
        ...tlbiRange(first, second),
        ...stage2(tags, first),
        reaches: 'plain',
      };
    case OPCODE.TLBI_S12_VMALL:
      return { ...base, cache: 'iotlb', granularity: 'domain', ...stage2(tags, first) };
    case OPCODE.TLBI_NH_VA:
      return { ...base, cache: 'iotlb', ...tlbiRange(first, second), ...stage1(tags, first) };
    case OPCODE.TLBI_NH_VAA:
      return { ...base, cache: 'iotlb', ...tlbiRange(first, second), ...stage1(tags, first), asid: null };
    case OPCODE.TLBI_NH_ASID:
      return { ...base, cache: 'iotlb', granularity: 'domain', ...stage1(tags, first) };
    case OPCODE.TLBI_NH_ALL:
      return { ...base, cache: 'iotlb', granularity: 'domain', ...stage2(tags, first), reaches: 'nested' };
    default:
      return null;
  }
}

function deviceOf(driver: Driver, streamId: number): number | null {
  for (const stream of driver.streams.values()) if (stream.streamId === streamId) return stream.device;
  return null;
}

/**
 * Tags by stage and id. A domain may be gone when the last device leaves it and its id is cleared: an id
 * stands for the last domain that got it.
 */
type Tags = Map<string, string>;

interface Smmu {
  readonly driver: Driver;
  readonly iommu: string;
  readonly tags: Tags;
}

function noteTag(tags: Tags, { domains }: Driver, key: number): void {
  const domain = domains.get(key);
  if (domain !== undefined) tags.set(`${domain.facts.stage}:${domain.rank}`, `d${key}`);
}

/** The kernel's own domains have no id that a trace tells. */
function tagOf(tags: Tags, stage: 1 | 2, id: number): string {
  return tags.get(`${stage}:${id}`) ?? `own stage ${stage}`;
}

function stage2(tags: Tags, first: bigint): Pick<Invalidation, 'tag'> {
  return { tag: tagOf(tags, 2, bitsOf(first, 47, 32)) };
}

/** The kernel's own stage-1 tables have VMID 0; a guest's ASIDs are told apart by its VMID. */
function stage1(tags: Tags, first: bigint): Pick<Invalidation, 'tag' | 'asid' | 'reaches'> {
  const vmid = bitsOf(first, 47, 32);
  const asid = bitsOf(first, 63, 48);
  if (vmid === 0) return { tag: tagOf(tags, 1, asid), asid: null, reaches: 'all' };
  return { tag: tagOf(tags, 2, vmid), asid, reaches: 'nested' };
}

type Range = Pick<
  Invalidation,
  'granularity' | 'firstPage' | 'lastPage' | 'changedFirst' | 'changedLast' | 'leafOnly'
>;

/** TLBI_NH_VA, TLBI_S2_IPA: one address, or with TG (NUM + 1) * 2^SCALE granules. */
function tlbiRange(first: bigint, second: bigint): Range {
  const granule = bitsOf(second, 11, 10);
  const page = Number((second & ~0xfffn) >> 12n);
  const pages =
    granule === 0 ? 1 : (bitsOf(first, 16, 12) + 1) * 2 ** (bitsOf(first, 25, 20) + 10 + 2 * granule - 12);
  const lastPage = Math.min(page + pages - 1, LAST_PAGE);
  return {
    granularity: 'pages',
    firstPage: page,
    lastPage,
    changedFirst: page,
    changedLast: lastPage,
    leafOnly: (second & 1n) !== 0n,
  };
}

/** ATC_INV: 2^SIZE pages from an aligned address on. */
function atcRange(second: bigint): Range {
  const order = bitsOf(second, 5, 0);
  const isWhole = order >= 52;
  const page = Number((second & ~0xfffn) >> 12n);
  const firstPage = isWhole ? 0 : page - (page % 2 ** order);
  const lastPage = isWhole ? LAST_PAGE : firstPage + 2 ** order - 1;
  return {
    granularity: isWhole ? 'device' : 'pages',
    firstPage,
    lastPage,
    changedFirst: firstPage,
    changedLast: lastPage,
    leafOnly: false,
  };
}
