import { PROT_READ, PROT_WRITE } from '../area-table.ts';
import { objectIn, wideIn } from '../check-order/check.ts';
import { accessWrites } from '../check-order/conditions.ts';
import { holesOf, type IovaRange } from '../iova-space.ts';
import { spaceOf } from '../kernel.ts';
import { objectLabel, rangeText, reservedText } from '../object-facts.ts';
import { FROM_FILE, isDmabuf } from '../pages-table.ts';
import type { Ioas } from '../state.ts';
import { compatIoas } from '../vfio-ioas.ts';
import {
  boundsOf,
  count,
  type Explain,
  hex,
  listed,
  ofArea,
  plain,
  rangeOfArea,
  remedy,
  slotsIn,
  slotsOf,
  span,
} from './finding.ts';
import { collisions } from './reserved.ts';
import { about, type InContext, sourceOf, type Target, targetOf } from './target.ts';

/** Refusals about ranges of an IOAS: which area, reserved range or hole it was. */

const overlaps = about(targetOf, ({ ioas, first, last }, { kernel, context }) => {
  const slots = slotsIn(kernel, ioas, first, last);
  if (slots.length === 0) return null;
  return remedy(
    listed(slots, (slot) => ofArea(kernel, context, ioas, slot, `overlaps ${span(first, last)}`)),
    slots.length === 1 ? 'after that area is unmapped' : 'after these areas are unmapped',
  );
});

const reserved = about(targetOf, ({ ioas, first, last }, { kernel }) => {
  const hits = ioas.reserved.filter((range) => {
    const bounds = boundsOf(range);
    return bounds.first <= last && first <= bounds.last;
  });
  const usable = holesOf(spaceOf(kernel, ioas).reserved).map(rangeText);
  return remedy(
    listed(hits, (range) => plain(`what is reserved, ${reservedText(range)}, overlaps ${span(first, last)}`)),
    usable.length === 0
      ? 'nowhere: the whole space is reserved'
      : `inside ${usable.slice(0, 4).join(' or ')}`,
  );
});

/** Who makes an IOAS ask for its alignment. */
function alignmentOf({ kernel, context }: InContext, ioas: Ioas) {
  const asks = [
    ...ioas.domains.map((id) => `HWPT ${id}`),
    ...Object.values(ioas.accesses)
      .filter((id) => {
        const access = context.objects[id];
        return access?.type === 'access' && access.pinning;
      })
      .map((id) => `access object ${id}`),
    ...(ioas.largePagesOff ? ['HUGE_PAGES being off'] : []),
  ];
  const by = asks.length === 0 ? '' : ` for ${asks.join(', ')}`;
  return {
    bytes: BigInt(ioas.alignment),
    finding: plain(`${objectLabel(ioas)} asks for an alignment of ${count(ioas.alignment, 'byte')}${by}`),
    areas: spaceOf(kernel, ioas).areas.count,
  };
}

const misaligned = (...fields: readonly string[]): Explain =>
  about(targetOf, ({ ioas }, refused) => {
    const { bytes, finding } = alignmentOf(refused, ioas);
    const off = fields.filter(
      (field) =>
        refused.fields[field] !== undefined &&
        // The size of iommufd's structs is that of the struct.
        (field !== 'size' || 'argsz' in refused.fields) &&
        wideIn(refused, field) % bytes !== 0n,
    );
    const values = off.map((field) =>
      plain(`${field} ${hex(wideIn(refused, field))} is ${hex(wideIn(refused, field) % bytes)} off`),
    );
    const better = off.map((field) => {
      const value = wideIn(refused, field);
      return `${field} ${hex(value - (value % bytes))} or ${hex(value - (value % bytes) + bytes)}`;
    });
    return remedy([finding, ...values], better.length === 0 ? null : `with ${better.join(', ')}`);
  });

const noSpace = about(targetOf, ({ ioas }, refused) => {
  const { kernel } = refused;
  const length = wideIn(refused, 'length');
  const { reserved: taken } = spaceOf(kernel, ioas);
  const allowed =
    ioas.allowed.length === 0 ? 'everything not reserved' : ioas.allowed.map(rangeText).join(', ');
  const free = holesOf(taken).map(rangeText);
  const areas = slotsOf(kernel, ioas).length;
  return remedy([
    plain(`${hex(length)} bytes are asked for`),
    plain(`allowed: ${allowed}`),
    plain(
      `not reserved: ${free.slice(0, 4).join(', ') || 'nothing'}${free.length > 4 ? ` and ${free.length - 4} more` : ''}`,
    ),
    plain(`${count(areas, 'area')} in ${objectLabel(ioas)}`),
  ]);
});

/** The first address of a range that no area covers; null when all are. */
function holeIn({ kernel }: InContext, { ioas, first, last }: Target): bigint | null {
  let at = first;
  for (const slot of slotsIn(kernel, ioas, first, last)) {
    const bounds = boundsOf(rangeOfArea(kernel, ioas, slot));
    if (bounds.first > at) return at;
    at = bounds.last + 1n;
  }
  return at <= last ? at : null;
}

const hole = about(sourceOf, (target, refused) => {
  const at = holeIn(refused, target);
  if (at === null) return null;
  return remedy([
    plain(`${objectLabel(target.ioas)} maps nothing at ${hex(at)}, in ${span(target.first, target.last)}`),
  ]);
});

const readOnlySource = about(sourceOf, ({ ioas, first, last }, { kernel, context }) => {
  const { areas } = spaceOf(kernel, ioas);
  const slots = slotsIn(kernel, ioas, first, last).filter(
    (slot) => kernel.pages.writable[areas.pages[slot]!] === 0,
  );
  return remedy(
    listed(slots, (slot) =>
      ofArea(kernel, context, ioas, slot, 'holds memory that was mapped without WRITEABLE'),
    ),
    'with READABLE alone',
  );
});

const permission = about(sourceOf, ({ ioas, first, last }, refused) => {
  const { kernel, context } = refused;
  const { areas } = spaceOf(kernel, ioas);
  const isWrite = accessWrites(refused);
  const wanted = isWrite ? PROT_WRITE : PROT_READ;
  const slot = slotsIn(kernel, ioas, first, last).find(
    (each) =>
      (areas.prot[each]! & wanted) === 0 || (isWrite && kernel.pages.writable[areas.pages[each]!] === 0),
  );
  if (slot === undefined) return null;
  return remedy([
    ofArea(kernel, context, ioas, slot, `is mapped without ${isWrite ? 'WRITEABLE' : 'READABLE'}`),
  ]);
});

const reserveInUse = about(targetOf, ({ ioas, first, last }, { kernel, context }) => {
  const slots = slotsIn(kernel, ioas, first, last);
  const allowed = ioas.allowed.filter(
    (range) => boundsOf(range).first <= last && first <= boundsOf(range).last,
  );
  return remedy([
    ...listed(slots, (slot) => ofArea(kernel, context, ioas, slot, `overlaps ${span(first, last)}`)),
    ...listed(allowed, (range) => plain(`allowed range ${rangeText(range)} overlaps ${span(first, last)}`)),
  ]);
});

/** The newcomer has an aperture or reserved ranges of its own. */
const rangeInUse: Explain = (refused) =>
  refused.command === 'IOMMU_TEST_CMD ADD_RESERVED' ? reserveInUse(refused) : collisions(refused);

/** The allowed ranges meet reserved ones. */
const allowedReserved: Explain = (refused) => {
  const ioas = objectIn(refused, 'ioas_id');
  if (ioas?.type !== 'ioas') return null;
  const wanted = allowedAsked(refused);
  const hits = ioas.reserved.filter(
    (range) => wanted.length === 0 || wanted.some((each) => meet(each, range)),
  );
  const usable = holesOf(spaceOf(refused.kernel, ioas).reserved).map(rangeText);
  return remedy(
    listed(hits, (range) => plain(`reserved: ${reservedText(range)}`)),
    `with ranges inside ${usable.slice(0, 4).join(' or ')}`,
  );
};

interface Bounds {
  readonly first: bigint;
  readonly last: bigint;
}

function meet(asked: Bounds, range: IovaRange): boolean {
  const { first, last } = boundsOf(range);
  return asked.first <= last && first <= asked.last;
}

const RANGE_BYTES = 16;

/** The ranges that ALLOW_IOVAS asks for, as far as the recorder kept them. */
function allowedAsked(refused: InContext): Bounds[] {
  const { call } = refused;
  const address = wideIn(refused, 'allowed_iovas');
  const bytes = call.op === 'ioctl' ? call.mem.find(({ addr }) => addr === address)?.before : null;
  if (!(bytes instanceof Uint8Array)) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.min(Number(wideIn(refused, 'num_iovas')), Math.floor(bytes.length / RANGE_BYTES));
  return Array.from({ length: count }, (_, index) => ({
    first: view.getBigUint64(index * RANGE_BYTES, true),
    last: view.getBigUint64(index * RANGE_BYTES + 8, true),
  }));
}

const notFiles: Explain = ({ kernel, context }) => {
  const findings = Object.values(context.objects).flatMap((object) => {
    if (object.type !== 'ioas') return [];
    const { areas } = spaceOf(kernel, object);
    return slotsOf(kernel, object)
      .filter((slot) => kernel.pages.source[areas.pages[slot]!] !== FROM_FILE)
      .map((slot) => {
        const what = isDmabuf(kernel.pages, areas.pages[slot]!) ? 'a dma-buf' : 'memory of a process';
        return ofArea(kernel, context, object, slot, `maps ${what}`);
      });
  });
  return remedy(
    listed(findings, (finding) => finding),
    'after these areas are unmapped',
  );
};

/** Both ends of the range, its pages and the alignment that the IOAS asks for. */
const dirtyMisaligned: Explain = (refused) => {
  const hwpt = objectIn(refused, 'hwpt_id');
  const ioas = hwpt?.type === 'hwpt-paging' ? refused.context.objects[hwpt.ioas] : undefined;
  if (ioas?.type !== 'ioas') return null;
  const pageSize = wideIn(refused, 'page_size');
  return remedy([
    alignmentOf(refused, ioas).finding,
    plain(pageSize === 0n ? 'page_size is 0' : `page_size is ${hex(pageSize)}`),
  ]);
};

const largePages: Explain = (refused) => {
  const ioas = objectIn(refused, 'object_id') ?? compatIoas(refused.context);
  if (ioas?.type !== 'ioas') return null;
  const slots = slotsOf(refused.kernel, ioas);
  return remedy(
    [
      plain(`${objectLabel(ioas)} fills ${ioas.domains.map((id) => `HWPT ${id}`).join(', ')}`),
      ...listed(slots, (slot) => ofArea(refused.kernel, refused.context, ioas, slot, 'is mapped')),
    ],
    'after everything is unmapped',
  );
};

const dmabufOutside: Explain = (refused) => {
  const file = refused.descriptors[Number(wideIn(refused, 'fd'))];
  const dmabuf = refused.kernel.state.dmabufs[file ?? 0];
  if (dmabuf === undefined) return null;
  const start = wideIn(refused, 'start');
  return remedy(
    [plain(`the dma-buf has ${hex(dmabuf.bytes)} bytes`)],
    start < BigInt(dmabuf.bytes) ? `with a length of ${hex(BigInt(dmabuf.bytes) - start)} at most` : null,
  );
};

export const RANGE_REMEDIES: Readonly<Record<string, Explain>> = {
  'iova-already-mapped': overlaps,
  'iova-in-reserved-range': reserved,
  'iova-misaligned': misaligned('iova', 'dst_iova'),
  'length-misaligned': misaligned('length', 'size'),
  'user-va-misaligned': misaligned('user_va', 'start', 'src_iova', 'length'),
  'user-offset-misaligned': misaligned('user_va', 'vaddr', 'start', 'src_iova'),
  'no-iova-space': noSpace,
  'copy-source-not-mapped': hole,
  'hole-in-range': hole,
  'pages-mapped-read-only': readOnlySource,
  'area-permission-missing': permission,
  'allowed-range-reserved': allowedReserved,
  'range-in-use': rangeInUse,
  'change-process-needs-files': notFiles,
  'dirty-range-misaligned': dirtyMisaligned,
  'large-pages-in-use': largePages,
  'dmabuf-range-outside': dmabufOutside,
};
