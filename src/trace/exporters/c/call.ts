import { CMD, ENUM_TABLES, findIoctl, renderEnum } from '../../../uapi/index.ts';
import type { Call, IoctlCall, MmapCall, ReadCall, WriteCall } from '../../call.ts';
import { type CallLinks, type Link, wordAt } from '../../resources/index.ts';
import {
  addressOf,
  answered,
  type CallCode,
  type CallContext,
  canMake,
  descriptorOf,
  fill,
  hasBytes,
  hex,
  linkAt,
  made,
  numberAt,
  takeNumber,
} from './expressions.ts';
import { quote } from './literals.ts';
import { codeOfNote, codeOfOther } from './side-calls.ts';

/** The C of one recorded call. `links` tell which of its numbers are variables of the program. */
export function codeOfCall(call: Call, links: CallLinks, context: CallContext): CallCode {
  const reason = missingDescriptor(call, links);
  if (reason !== null) return { leftOut: reason };
  switch (call.op) {
    case 'ioctl':
      return codeOfIoctl(call, links, context);
    case 'open':
      return made(call.seq, `open ${call.path}`, call, links, context, [
        `long ret = open(DEV_ROOT ${quote(call.path)}, ${hex(call.flags)}, 0600);`,
      ]);
    case 'close':
      return {
        lines: [
          `int ret = close(${descriptorOf(call.fd, links, context)});`,
          ...answered(call.seq, 'close', call),
        ],
      };
    case 'mmap':
      return codeOfMmap(call, links, context);
    case 'munmap': {
      const at = addressOf(call.addr, { at: 'addr' }, links, context);
      const lines = [
        `int ret = munmap((void *)(${at}), ${hex(call.len)});`,
        ...answered(call.seq, 'munmap', call),
      ];
      return { lines };
    }
    case 'read':
    case 'pread':
      return codeOfRead(call, links, context);
    case 'write':
    case 'pwrite':
      return codeOfWrite(call, links, context);
    case 'note':
      return codeOfNote(call.kind, call.fields, links, context);
    case 'memfd_create':
    case 'ftruncate':
    case 'poll':
    case 'cap_set_proc':
      return codeOfOther(call, links, context);
    default:
      return { leftOut: call.op === 'call' ? `call of ${call.generation}` : call.op };
  }
}

/** A descriptor that the recorded program had from somewhere else: nobody can tell how to make it. */
function missingDescriptor(call: Call, links: CallLinks): string | null {
  const on = links.uses.find(({ place }) => place.at === 'fd');
  if (on === undefined || on.resource.madeBy !== null) return null;
  if (canMake(on.resource)) return null;
  return `${call.op} on a descriptor that no recorded call made`;
}

function codeOfIoctl(call: IoctlCall, links: CallLinks, context: CallContext): CallCode {
  const { arg, out, seq } = call;
  const name = nameOfIoctl(call);
  const hasStruct = arg !== null && !call.argFault;
  const lines: string[] = [];
  for (const [index, { before }] of call.mem.entries()) {
    const link = linkAt(links.uses, { at: 'mem', index });
    if (link !== null && hasBytes(before)) lines.push(fill(numberAt(link, context), before, context));
  }
  const compares = hasStruct && out !== null && call.replied && out.length === arg.length;
  if (hasStruct) {
    const give = saysMore(call, arg) ? 'given_more' : 'given';
    lines.push(`uint8_t *a = ${give}(${context.literals.bytes(arg)}, ${arg.length});`);
    lines.push(...links.uses.flatMap((link) => putInStruct('a', link, context)));
  }
  if (compares) lines.push(...expectedStruct(arg, out, context));
  const argument = hasStruct ? 'a' : hex(call.argp);
  lines.push(`long ret = ioctl(${descriptorOf(call.fd, links, context)}, ${hex(call.cmd)}, ${argument});`);
  lines.push(
    ...answered(
      seq,
      name,
      call,
      links.gives.some(({ place }) => place.at === 'ret'),
    ),
  );
  if (compares) {
    const numbers = [...(out === arg ? [] : links.uses), ...links.gives].flatMap(({ place }) =>
      place.at === 'struct' ? [place.site] : [],
    );
    // Numbers of this run stand where those of the recorded one stood.
    const places = new Map(numbers.map(({ offset, bytes }) => [offset, bytes]));
    for (const [offset, bytes] of places) lines.push(`memcpy(want + ${offset}, a + ${offset}, ${bytes});`);
    lines.push(`bytes_of(${seq}, "struct", a, want, ${out.length});`);
  }
  for (const [index, { after, dir }] of call.mem.entries()) {
    const link = linkAt(links.uses, { at: 'mem', index });
    if (link === null || dir === 'in' || !hasBytes(after)) continue;
    const bytes = context.literals.bytes(after);
    lines.push(`memory_of(${seq}, "mem[${index}]", ${numberAt(link, context)}, ${bytes}, ${after.length});`);
  }
  const taken = links.gives.flatMap((link) => takeNumber(link, context));
  if (taken.length > 0) lines.push('if (ret != -1) {', ...taken.map((line) => `\t${line}`), '}');
  return { lines };
}

/** Recorders keep a part of a struct that is longer than any the kernel has. */
function saysMore({ kind, cmd }: IoctlCall, arg: Uint8Array): boolean {
  const size = findIoctl(kind, cmd)?.layout?.fields.find(({ refers }) => refers === 'size');
  return size !== undefined && kind !== 'device' && wordAt(arg, size.offset, 4) > Math.max(arg.length, 4);
}

function nameOfIoctl({ kind, cmd, arg }: IoctlCall): string {
  const name = findIoctl(kind, cmd)?.name ?? `ioctl ${hex(cmd)}`;
  if (cmd !== CMD.IOMMU_TEST_CMD || arg === null) return name;
  return `${name} ${renderEnum(ENUM_TABLES.testOp, wordAt(arg, 4, 4))}`;
}

/** What the struct should hold after the call; it is made before, when what is not changed is still there. */
function expectedStruct(arg: Uint8Array, out: Uint8Array, { literals }: CallContext): readonly string[] {
  const bytes = out === arg ? 'a' : literals.bytes(out);
  return [`uint8_t want[${Math.max(1, out.length)}];`, `memcpy(want, ${bytes}, ${out.length});`];
}

function putInStruct(struct: string, { resource, place, delta }: Link, context: CallContext): string[] {
  if (place.at !== 'struct') return [];
  const { offset, bytes } = place.site;
  const value = numberAt({ resource, place, delta }, context);
  return [`put${bytes * 8}(${struct}, ${offset}, ${value});`];
}

function codeOfMmap(call: MmapCall, links: CallLinks, context: CallContext): CallCode {
  const fd = call.fd < 0 ? '-1' : descriptorOf(call.fd, links, context);
  const rest = `${hex(call.len)}, ${call.prot}, ${hex(call.flags)}, ${fd}, ${hex(call.off)}`;
  const inside = linkAt(links.uses, { at: 'addr' });
  const isFresh = links.gives.length > 0;
  // Inside memory that is there: exactly at that place. Else where it was, or as well aligned.
  const lines = isFresh
    ? [`uint64_t at = memory_at(${hex(call.mapped ?? 0n)}, ${rest});`]
    : [
        `uint64_t at = (uint64_t)mmap((void *)(${inside === null ? hex(call.addr) : numberAt(inside, context)}), ${rest});`,
      ];
  lines.push('long ret = at == (uint64_t)MAP_FAILED ? -1 : 0;');
  lines.push(
    ...answered(call.seq, 'mmap', { replied: true, ret: call.mapped === null ? -1 : 0, errno: call.errno }),
  );
  for (const { resource } of links.gives)
    lines.push('if (ret != -1)', `\tv->${context.nameOf(resource)} = at;`);
  return { lines };
}

function codeOfRead(call: ReadCall, links: CallLinks, context: CallContext): CallCode {
  const at = addressOf(call.addr, { at: 'addr' }, links, context);
  const fd = descriptorOf(call.fd, links, context);
  const args = `${fd}, (void *)(${at}), ${call.len}`;
  const lines = [`long ret = ${call.off === null ? `read(${args})` : `pread(${args}, ${hex(call.off)})`};`];
  lines.push(...answered(call.seq, `${call.op} of ${call.kind}`, call));
  const length = Math.min(call.ret, hasBytes(call.out) ? call.out.length : 0);
  if (length > 0 && hasBytes(call.out)) {
    const cookies = links.gives.flatMap(({ resource, place }) =>
      place.at === 'bytes' ? [{ resource, offset: place.offset }] : [],
    );
    const bytes = call.out.subarray(0, length);
    lines.push(`uint8_t want[${length}];`, `memcpy(want, ${context.literals.bytes(bytes)}, ${length});`);
    for (const { offset } of cookies) lines.push(`memory_io(${at} + ${offset}, want + ${offset}, 4, 0);`);
    lines.push(`if (ret == ${call.ret}) {`);
    lines.push(`\tmemory_of(${call.seq}, "bytes read", ${at}, want, ${length});`);
    for (const { resource, offset } of cookies)
      lines.push(`\tv->${context.nameOf(resource)} = get32(want, ${offset});`);
    lines.push('}');
  }
  return { lines };
}

function codeOfWrite(call: WriteCall, links: CallLinks, context: CallContext): CallCode {
  const at = addressOf(call.addr, { at: 'addr' }, links, context);
  const lines: string[] = [];
  if (hasBytes(call.arg)) {
    lines.push(`uint8_t from[${Math.max(1, call.arg.length)}];`);
    lines.push(`memcpy(from, ${context.literals.bytes(call.arg)}, ${call.arg.length});`);
    for (const { resource, place } of links.uses)
      if (place.at === 'bytes') lines.push(`put32(from, ${place.offset}, v->${context.nameOf(resource)});`);
    lines.push(`fill(${at}, from, ${call.arg.length});`);
  }
  const args = `${descriptorOf(call.fd, links, context)}, (void *)(${at}), ${call.len}`;
  lines.push(`long ret = ${call.off === null ? `write(${args})` : `pwrite(${args}, ${hex(call.off)})`};`);
  return { lines: [...lines, ...answered(call.seq, `${call.op} of ${call.kind}`, call)] };
}
