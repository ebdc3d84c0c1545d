import {
  IOMMU_HWPT_ALLOC_FLAGS,
  IOMMU_IOAS_MAP_FLAGS,
  IOMMU_OPTION_ID,
  IOMMU_OPTION_OP,
  IOMMU_TEST_ACCESS_RW_FLAGS,
  IOMMU_VFIO_IOAS_OP,
  VFIO_DMA_UNMAP_FLAGS,
  VFIO_EXTENSION,
} from '../../uapi/index.ts';
import { PROT_WRITE } from '../area-table.ts';
import type { Ioas, ObjectType, PagingDomain } from '../state.ts';
import { compatIoas } from '../vfio-ioas.ts';
import { type CallFacts, type Condition, numberIn, objectIn, wideIn } from './check.ts';

/** The ways through a command that make it do different checks. */

const TOP = 2n ** 64n - 1n;

export const not =
  (condition: Condition): Condition =>
  (facts) =>
    !condition(facts);

const hasFlag =
  (flag: number): Condition =>
  (facts) =>
    (numberIn(facts, 'flags') & flag) !== 0;

const equals =
  (field: string, value: number): Condition =>
  (facts) =>
    numberIn(facts, field) === value;

/** The object that the field names is of one of these types. */
export const names =
  (field: string, ...types: readonly ObjectType[]): Condition =>
  (facts) =>
    types.includes(objectIn(facts, field)?.type as ObjectType);

/** IOAS_MAP and its like: the caller chose the IOVA. */
export const fixed: Condition = hasFlag(IOMMU_IOAS_MAP_FLAGS.FIXED_IOVA);
export const automatic: Condition = not(fixed);

/** The IOAS that the field names has a page table: what is mapped is pinned at once. */
export const filled =
  (field: string): Condition =>
  (facts) => {
    const ioas = objectIn(facts, field);
    return ioas?.type === 'ioas' && ioas.domains.length > 0;
  };
const compatOf = ({ context }: CallFacts): Ioas | undefined =>
  context === null ? undefined : compatIoas(context);
export const compatFilled: Condition = (facts) => (compatOf(facts)?.domains.length ?? 0) > 0;
/** VFIO type1 version 1: areas may be cut. */
export const compatCuts: Condition = (facts) => compatOf(facts)?.largePagesOff === true;

/** A page table of an IOAS refuses what allows neither reading nor writing. */
const refusesNoPermission = (facts: CallFacts, ioas: Ioas | undefined): boolean =>
  tablesOf(facts, ioas).some(({ needsProt }) => needsProt !== 0);
/** A page table of an IOAS refuses what can not be written. */
const refusesReadOnly = (facts: CallFacts, ioas: Ioas | undefined): boolean =>
  tablesOf(facts, ioas).some(({ needsProt }) => needsProt === PROT_WRITE);
function tablesOf({ context }: CallFacts, ioas: Ioas | undefined): readonly PagingDomain[] {
  return (ioas?.domains ?? []).flatMap((id) => {
    const hwpt = context?.objects[id];
    return hwpt?.type === 'hwpt-paging' ? hwpt.domain : [];
  });
}
export const holdsReadOnlyRefuser =
  (field: string): Condition =>
  (facts) => {
    const ioas = objectIn(facts, field);
    return ioas?.type === 'ioas' && refusesReadOnly(facts, ioas);
  };
export const compatRefusesNoPermission: Condition = (facts) => refusesNoPermission(facts, compatOf(facts));
export const compatRefusesReadOnly: Condition = (facts) => refusesReadOnly(facts, compatOf(facts));
export const emptyUnmapFails: Condition = ({ kernel }) => !kernel.profile.has.emptyUnmapSucceeds;

/** IOAS_UNMAP of the whole address space. */
export const everything: Condition = (facts) =>
  wideIn(facts, 'iova') === 0n && wideIn(facts, 'length') === TOP;

export const rlimitMode: Condition = equals('option_id', IOMMU_OPTION_ID.RLIMIT_MODE);
export const hugePages: Condition = equals('option_id', IOMMU_OPTION_ID.HUGE_PAGES);
export const optionIsSet: Condition = equals('op', IOMMU_OPTION_OP.SET);
export const valueIsZero: Condition = (facts) => wideIn(facts, 'val64') === 0n;

export const vfioIoasGet: Condition = equals('op', IOMMU_VFIO_IOAS_OP.GET);
export const vfioIoasSet: Condition = equals('op', IOMMU_VFIO_IOAS_OP.SET);

export const faultQueueGiven: Condition = hasFlag(IOMMU_HWPT_ALLOC_FLAGS.FAULT_ID_VALID);
export const dataGiven: Condition = (facts) => numberIn(facts, 'data_len') > 0;

export const accessWrites: Condition = hasFlag(IOMMU_TEST_ACCESS_RW_FLAGS.WRITE);

export const unmapsAll: Condition = hasFlag(VFIO_DMA_UNMAP_FLAGS.ALL);
const argumentIs =
  (value: number): Condition =>
  ({ call }) =>
    call.op === 'ioctl' && Number(call.argp) === value;
export const asksCoherency: Condition = argumentIs(VFIO_EXTENSION.DMA_CC);
export const setsVersion1: Condition = argumentIs(VFIO_EXTENSION.TYPE1);

/** A PASID other than 0, which stands for the device itself; VFIO looks at it when a flag says so. */
export const byPasid: Condition = (facts) =>
  numberIn(facts, 'pasid') !== 0 && !('argsz' in facts.fields && numberIn(facts, 'flags') === 0);
/** The check expects an attachment, not that there is none. */
export const expectsHwpt: Condition = (facts) => numberIn(facts, 'hwpt_id') !== 0;

/** The descriptor that the call maps belongs to a dma-buf. */
export const mapsDmabuf: Condition = (facts) => {
  const file = facts.descriptors[numberIn(facts, 'fd')];
  return facts.kernel.state.dmabufs[file ?? 0] !== undefined;
};

/** What a kernel has or has fixed. */
export const hasPasid: Condition = ({ kernel }) => kernel.profile.has.pasid;
export const hasNesting: Condition = ({ kernel }) => kernel.profile.has.nesting;
export const hasViommu: Condition = ({ kernel }) => kernel.profile.has.viommu;
export const refusesEmptyBitmap: Condition = ({ kernel }) => kernel.profile.has.refusesEmptyBitmap;
export const hasGenericTable: Condition = ({ kernel }) => kernel.profile.has.genericMockTable;
/** Pages of files and dma-bufs came with a function of their own for user memory, which checks it first. */
export const hasFilePages: Condition = ({ kernel }) => kernel.profile.has.dmabuf;
/** Before the generic page table the mock driver takes no data for a paging table. */
export const pagingDataGiven: Condition = (facts) => hasGenericTable(facts) && dataGiven(facts);

/** Some process is limited, or something is counted: without that, no count of locked pages can refuse. */
export const countsPages: Condition = ({ kernel: { state } }) =>
  state.locked.payers.length > 0 ||
  Object.values(state.processes).some(({ limits }) => limits !== undefined && !limits.ipcLock);

/**
 * Pages are charged in this way: some process is limited, and the context counts so. The way can not change
 * any more once there is an IOAS.
 */
export const countsBy =
  (mode: 'user' | 'mm'): Condition =>
  (facts) =>
    (facts.context === null || facts.context.accountMode === mode) && countsPages(facts);
