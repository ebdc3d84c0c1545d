import { VFIO_DMA_MAP_FLAGS } from '../../uapi/index.ts';
import { offsetOf, pageOf, toBigInt } from '../address.ts';
import { firstAreaIn, NONE, nextArea } from '../area-table.ts';
import { fileIn, numberIn, wideIn } from '../check-order/check.ts';
import { containerIn } from '../check-order/vfio-conditions.ts';
import type { IovaSpace } from '../iova-space.ts';
import { rangeText } from '../object-facts.ts';
import { mappingsOf } from '../type1/mappings.ts';
import type { Type1Container, Type1Iommu } from '../type1/state.ts';
import {
  boundsOf,
  type Finding,
  hex,
  listed,
  plain,
  type Refused,
  type Remedy,
  remedy,
  span,
} from './finding.ts';

import { firstUnpinnable } from './memory.ts';

/** Refusals of the classic container: which mapping, usable range or page size it was. */

type Say = (refused: Refused) => Remedy | null;

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

interface Asked extends Range {
  readonly container: Type1Container;
  readonly iommu: Type1Iommu;
  readonly space: IovaSpace;
}

const TOP = 2n ** 64n - 1n;

/** The container and the range that a call is about; null when it has no IOMMU yet. */
function asked(refused: Refused): Asked | null {
  const container = containerIn(refused);
  const iommu = container?.iommu;
  if (container === undefined || iommu == null || !refused.kernel.spaces.has(iommu.space)) return null;
  const first = wideIn(refused, 'iova');
  const last = first + wideIn(refused, 'size') - 1n;
  const space = mappingsOf(refused.kernel, iommu);
  return { container, iommu, space, first, last: last > TOP ? TOP : last };
}

const about =
  (say: (what: Asked, refused: Refused) => Remedy | null): Say =>
  (refused) => {
    const what = asked(refused);
    return what === null ? null : say(what, refused);
  };

/** Mappings with a byte in the range, by address. */
function mappingsIn({ areas }: IovaSpace, { first, last }: Range): Range[] {
  const found: Range[] = [];
  let slot = firstAreaIn(areas, pageOf(first), offsetOf(first), pageOf(last), offsetOf(last));
  while (slot !== NONE && toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!) <= last) {
    found.push({
      first: toBigInt(areas.startPage[slot]!, areas.startOffset[slot]!),
      last: toBigInt(areas.lastPage[slot]!, areas.lastOffset[slot]!),
    });
    slot = nextArea(areas, slot);
  }
  return found;
}

function ofMapping({ key }: Type1Container, { first, last }: Range, how: string): Finding {
  const origin = { kind: 'area', context: key, ioas: 0, iova: first, iovaLast: last } as const;
  return { what: `mapping ${span(first, last)}`, origin, how };
}

const alreadyMapped = about((what) => {
  const found = mappingsIn(what.space, what);
  return remedy(
    listed(found, (each) => ofMapping(what.container, each, `overlaps ${span(what.first, what.last)}`)),
    found.length === 0 ? null : 'after these mappings are unmapped',
  );
});

const bisects = about((what) => {
  const { first, last, space, container } = what;
  const cut = mappingsIn(space, what).filter((each) => each.first < first || each.last > last);
  const from = cut.reduce((low, each) => (each.first < low ? each.first : low), first);
  const to = cut.reduce((high, each) => (each.last > high ? each.last : high), last);
  return remedy(
    listed(cut, (each) => ofMapping(container, each, `is only partly in ${span(first, last)}`)),
    cut.length === 0 ? null : `with ${span(from, to)}: iova ${hex(from)}, size ${hex(to - from + 1n)}`,
  );
});

const otherMapping = about((what) =>
  remedy(
    listed(mappingsIn(what.space, what), (each) =>
      ofMapping(what.container, each, `is what ${span(what.first, what.last)} meets`),
    ),
    'with exactly the range of a mapping whose user address is invalid',
  ),
);

const notUsable = about(({ iommu, first, last }) => {
  const usable = iommu.iovas.map(rangeText);
  return remedy(
    [plain(`${span(first, last)} is not inside one of the usable ranges`)],
    usable.length === 0 ? 'nowhere: nothing is usable' : `inside ${usable.slice(0, 6).join(' or ')}`,
  );
});

const misaligned = about(({ iommu }, refused) => {
  const unit = BigInt(iommu.pageBytes);
  const off = ['iova', 'vaddr', 'size'].filter(
    (field) => refused.fields[field] !== undefined && wideIn(refused, field) % unit !== 0n,
  );
  return remedy(
    off.map((field) =>
      plain(`${field} ${hex(wideIn(refused, field))} is ${hex(wideIn(refused, field) % unit)} off`),
    ),
    `with multiples of ${iommu.pageBytes} bytes`,
  );
});

const notPinnable: Say = (refused) => {
  const { kernel, mm } = refused;
  if (mm === null) return null;
  const address = wideIn(refused, 'vaddr');
  const isWrite = (numberIn(refused, 'flags') & VFIO_DMA_MAP_FLAGS.WRITE) !== 0;
  const last = pageOf(address + wideIn(refused, 'size') - 1n);
  const bad = firstUnpinnable(kernel, mm, pageOf(address), last, isWrite, false);
  if (bad === null) return null;
  const access = isWrite ? 'writing' : 'reading';
  return remedy([plain(`the page at user address ${hex(toBigInt(bad, 0))} can not be pinned for ${access}`)]);
};

const tracking = about(({ iommu }) =>
  remedy([plain(`dirty pages are ${iommu.tracking ? '' : 'not '}tracked`)], 'after DIRTY_PAGES with START'),
);

/** The container that a group is to be set to. */
function targetContainer({ kernel, call, descriptors }: Refused): Type1Container | undefined {
  if (call.op !== 'ioctl' || call.arg === null || call.arg.length < 4) return undefined;
  const fd = new DataView(call.arg.buffer, call.arg.byteOffset).getInt32(0, true);
  const file = kernel.state.files[descriptors[fd] ?? 0];
  return file?.kind === 'container' ? kernel.state.vfio.containers[file.object] : undefined;
}

/** The mappings that lie in a reserved region of the group that is to be attached. */
const reservedConflict: Say = (refused) => {
  const { kernel } = refused;
  const group = fileIn(refused);
  const container = targetContainer(refused);
  if (group?.kind !== 'group' || container?.iommu == null) return null;
  const space = mappingsOf(kernel, container.iommu);
  const findings = kernel.machine.devices
    .filter((device) => device.group === group.object)
    .flatMap(({ bdf, reserved }) => reserved.map((range) => ({ bdf, range })))
    .flatMap(({ bdf, range }) =>
      mappingsIn(space, boundsOf(range)).map((each) =>
        ofMapping(container, each, `overlaps ${rangeText(range)}, which ${bdf} reserves (${range.kind})`),
      ),
    );
  return remedy(
    listed(findings, (finding) => finding),
    'after these mappings are unmapped',
  );
};

const wrongOrder: Say = (refused) => {
  const container = containerIn(refused);
  if (container === undefined) return null;
  const groups = container.groups.map(({ id }) => `group ${id}`).join(', ') || 'no group';
  const iommu =
    container.iommu === null ? 'no IOMMU type' : `an IOMMU of TYPE1${container.iommu.v2 ? 'v2' : ''}`;
  return remedy([plain(`container ${container.key} has ${groups} and ${iommu}`)]);
};

const notOneFlag: Say = (refused) => remedy([plain(`flags is ${hex(numberIn(refused, 'flags'))}`)]);

export const TYPE1_REMEDIES: Readonly<Record<string, Say>> = {
  'type1-already-mapped': alreadyMapped,
  'type1-bisects-mapping': bisects,
  'type1-vaddr-other-mapping': otherMapping,
  'type1-iova-not-usable': notUsable,
  'type1-misaligned': misaligned,
  'type1-memory-not-pinnable': notPinnable,
  'type1-not-tracking': tracking,
  'type1-attach-reserved-conflict': reservedConflict,
  'type1-no-iommu-yet': wrongOrder,
  'type1-set-iommu-no-group': wrongOrder,
  'type1-set-iommu-again': wrongOrder,
  'type1-dirty-not-version-2': wrongOrder,
  'type1-dirty-not-one-flag': notOneFlag,
};
