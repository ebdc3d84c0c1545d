import { CMD } from '../../uapi/index.ts';
import { isSkipped } from '../bytes.ts';
import type { Call, IoctlCall } from '../call.ts';
import { type CallLinks, createResourceTracker, type Resource } from '../resources/index.ts';
import {
  bytesOf,
  chooseSyzCall,
  findSyzCall,
  offsetsIn,
  readNumber,
  type SyzField,
  type SyzResource,
  type SyzTarget,
} from '../syzkaller/index.ts';
import { planProgram } from './c/plan.ts';
import { createExportTally, type ExportSource, type ExportSummary, type WriteText } from './source.ts';
import { createDataArea, type DataArea } from './syzkaller/data-area.ts';
import { createVariables, type Variables } from './syzkaller/variables.ts';

export interface SyzkallerExportOptions {
  /** One line that says what a call is, for the comment where one is left out. */
  readonly describe: (call: Call) => string;
}

/** What syzkaller calls the objects and descriptors that it follows. */
const RESOURCES: Readonly<Record<string, SyzResource>> = {
  iommufd: 'fd_iommufd',
  container: 'fd_vfio',
  access: 'fd_access',
  ioas: 'ioas_handle',
  device: 'device_handle',
  hwpt: 'hwpt_handle',
  pages: 'access_pages_handle',
  'selftest-device': 'selftest_device_handle',
};
const OPENS: Readonly<Record<string, string>> = { iommufd: 'openat$iommufd', container: 'openat$vfio' };
const PAGE = 4096n;
const AT_FDCWD = '0xffffffffffffff9c';
/** A pointer that faults, which programs may hold. */
const BAD_POINTER = '0xffffffffffffffff';

/**
 * Writes a syzkaller program of the calls that its descriptions know (sys/linux/dev_iommu.txt): ids and
 * descriptors are its resources, user memory lies in its data area. All processes of the trace become one.
 */
export function exportSyzkaller(
  source: ExportSource,
  write: WriteText,
  { describe }: SyzkallerExportOptions,
): ExportSummary {
  const tally = createExportTally();
  const { memory } = planProgram(source);
  const variables = createVariables(source, memory);
  const area = createDataArea();
  const tracker = createResourceTracker(memory);
  write(`# ${oneLine(source.name)}: written by ioasis\n`);
  for (const call of source.calls()) {
    const links = tracker.next(call);
    const line = lineOf(call, links, variables, area);
    if (line !== null) {
      write(`${line}\n`);
      tally.wrote();
    } else {
      tally.leftOut(call.op === 'ioctl' ? 'ioctl that syzkaller does not describe' : nameOf(call));
      if (call.op === 'ioctl') write(`# left out: ${oneLine(describe(call))}\n`);
    }
  }
  return tally.summary();
}

function nameOf(call: Call): string {
  return call.op === 'note' ? `note ${call.kind}` : call.op;
}

function lineOf(call: Call, links: CallLinks, variables: Variables, area: DataArea): string | null {
  switch (call.op) {
    case 'open': {
      const open = OPENS[call.kind];
      if (open === undefined) return null;
      const made = variables.give(call.seq, links.gives[0]?.resource ?? null);
      const path = `&(${area.address(call.path.length + 1)})='${syzText(call.path)}\\x00'`;
      return `${made === null ? '' : `${made} = `}${open}(${AT_FDCWD}, ${path}, ${hex(call.flags)}, 0x0)`;
    }
    case 'close': {
      const fd = descriptor(links, variables);
      return fd === null ? null : `close(${fd})`;
    }
    case 'ioctl':
      return ioctlLine(call, links, variables, area);
    default:
      return null;
  }
}

function ioctlLine(call: IoctlCall, links: CallLinks, variables: Variables, area: DataArea): string | null {
  const bytes = call.argFault ? null : call.arg;
  const known = { resourceOf: (id: number) => kindOfId(links, id) };
  const chosen = chooseSyzCall(call.kind, call.cmd, bytes, known);
  // Whole pages are written as such; a MAP of anything else is the call that takes bytes.
  const described = isUnalignedMap(call, links) ? findSyzCall('ioctl$IOMMU_IOAS_MAP') : chosen;
  const fd = descriptor(links, variables);
  if (described === undefined || fd === null) return null;
  const head = `${described.name}(${fd}, ${hex(call.cmd)}`;
  if (described.argument === 'none') return `${head})`;
  if (described.argument === 'value') return `${head}, ${hex(call.argp)})`;
  if (bytes === null) return `${head}, ${call.argp === 0n ? '0x0' : BAD_POINTER})`;
  const at = area.address(described.sizeBytes);
  const writer = { call, links, variables, area };
  return `${head}, &(${at})={${fieldsOf(described.fields, bytes, writer).join(', ')}})`;
}

/** Offset of `user_va` in IOMMU_IOAS_MAP. */
const USER_VA_AT = 16;

function isUnalignedMap(call: IoctlCall, { uses }: CallLinks): boolean {
  if (call.kind !== 'iommufd' || call.cmd !== CMD.IOMMU_IOAS_MAP || call.arg === null) return false;
  const address = readNumber(call.arg, USER_VA_AT, 8);
  const isPlaced = uses.some(({ place }) => place.at === 'struct' && place.site.offset === USER_VA_AT);
  return isPlaced && address !== null && address % PAGE !== 0n;
}

/** What a number in the struct was made as. */
function kindOfId({ uses }: CallLinks, id: number): SyzResource | null {
  const found = uses.find(({ resource, place }) => place.at === 'struct' && resource.recorded === BigInt(id));
  return found === undefined ? null : (RESOURCES[found.resource.kind] ?? null);
}

interface StructWriter {
  readonly call: IoctlCall;
  readonly links: CallLinks;
  readonly variables: Variables;
  readonly area: DataArea;
}

function fieldsOf(fields: readonly SyzField[], bytes: Uint8Array, writer: StructWriter): readonly string[] {
  const offsets = offsetsIn(fields);
  return fields.map((field, index) => {
    const offset = offsets[index]!;
    const value = readNumber(bytes, offset, field.bytes) ?? 0n;
    if (field.role === 'pointer') return pointerTo(field.target, value, offset, writer);
    if (field.role === 'resource') return resourceAt(field, value, offset, writer);
    return hex(value);
  });
}

function resourceAt(field: SyzField, value: bigint, offset: number, writer: StructWriter): string {
  const { links, variables, call } = writer;
  const at = ({ place }: { place: CallLinks['uses'][number]['place'] }): boolean =>
    place.at === 'struct' && place.site.offset === offset;
  if (field.dir === 'out') {
    const given = links.gives.find(at)?.resource ?? null;
    const name = variables.give(call.seq, given);
    return name === null ? hex(value) : `<${name}=>${hex(value)}`;
  }
  const used = links.uses.find(at)?.resource;
  return (used === undefined ? null : variables.use(used)) ?? hex(value);
}

function pointerTo(target: SyzTarget | null, value: bigint, offset: number, writer: StructWriter): string {
  const { links, call, area } = writer;
  if (value === 0n || target === null) return hex(value);
  const link = links.uses.find(({ place }) => place.at === 'struct' && place.site.offset === offset);
  if (link === undefined) return BAD_POINTER;
  const at = area.memory(link.resource, link.delta);
  if (target.is === 'pages' && BigInt(at) % PAGE === 0n) {
    const lengthAt = call.arg === null ? null : readNumber(call.arg, offset + 8, 8);
    return `&(${at}/${hex(area.pages(at, lengthAt ?? 0n))})=nil`;
  }
  const buffer = call.mem.find(({ addr }) => addr === value);
  const before = buffer?.before ?? null;
  if (before === null || isSkipped(before))
    return `&(${at})=""${buffer === undefined ? '' : `/${buffer.len}`}`;
  if (target.is === 'bytes' || target.is === 'pages')
    return `&(${at})="${Buffer.from(before).toString('hex')}"`;
  const size = bytesOf(target.of);
  const items: string[] = [];
  for (let from = 0; from + size <= before.length; from += size)
    items.push(`{${fieldsOf(target.of, before.subarray(from, from + size), writer).join(', ')}}`);
  return target.is === 'array' ? `&(${at})=[${items.join(', ')}]` : `&(${at})=${items[0] ?? '{}'}`;
}

function descriptor({ uses }: CallLinks, variables: Variables): string | null {
  const on: Resource | undefined = uses.find(({ place }) => place.at === 'fd')?.resource;
  return on === undefined ? null : variables.use(on);
}

/** Text between quotes of a program. */
function syzText(text: string): string {
  return text.replace(
    /[^\x20-\x7e]|['\\]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function oneLine(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}

function hex(value: bigint | number): string {
  return `0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
}
