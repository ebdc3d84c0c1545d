import type { OtherCall } from '../../call.ts';
import type { CallLinks } from '../../resources/index.ts';
import {
  answered,
  type CallCode,
  type CallContext,
  descriptorOf,
  fill,
  hex,
  linkAt,
  made,
  numberAt,
} from './expressions.ts';
import { quote } from './literals.ts';

/** Bits of the capabilities that iommufd asks for, `linux/capability.h`. */
const CAPABILITIES: Readonly<Record<string, number>> = { IPC_LOCK: 14, SYS_RESOURCE: 24 };
const ALL = 0xffff_ffff_ffff_ffffn;

/** A fact about the process: what can be made true again is made true. */
export function codeOfNote(
  kind: string,
  fields: Readonly<Record<string, unknown>>,
  links: CallLinks,
  context: CallContext,
): CallCode {
  if (kind === 'marker') return { lines: [`printf("# %s\\n", ${quote(String(fields['text'] ?? ''))});`] };
  if (kind === 'limits') return { lines: linesOfLimits(fields) };
  const link = linkAt(links.uses, { at: 'addr' });
  const content = fields['hex'];
  if (kind !== 'usermem' || link === null) return { leftOut: `note ${kind}` };
  if (typeof content === 'object' && content !== null && 'zero' in content)
    return { lines: [`fill_zero(${numberAt(link, context)}, ${Number(content.zero)});`] };
  if (typeof content !== 'string') return { leftOut: `note ${kind}` };
  return { lines: [fill(numberAt(link, context), Buffer.from(content, 'hex'), context)] };
}

function linesOfLimits({ memlock, uid, capabilities }: Readonly<Record<string, unknown>>): string[] {
  const lines: string[] = [];
  if (memlock === 'unlimited') lines.push('limit_memory(RLIM_INFINITY);');
  else if (typeof memlock === 'string') lines.push(`limit_memory(${memlock});`);
  if (typeof uid === 'number') lines.push(`user(${uid});`);
  if (Array.isArray(capabilities)) {
    const names = new Set(capabilities.map((name) => String(name).toUpperCase().replace(/^CAP_/, '')));
    const dropped = Object.entries(CAPABILITIES).filter(([name]) => !names.has(name));
    const keep = dropped.reduce((mask, [, bit]) => mask & ~(1n << BigInt(bit)), ALL);
    lines.push(`capabilities(${hex(keep)});`);
  }
  return lines;
}

/** Calls that are recorded by name. */
export function codeOfOther(call: OtherCall, links: CallLinks, context: CallContext): CallCode {
  const { fields, seq } = call;
  const number = (key: string): number => Number(fields[key] ?? 0);
  const reply = { replied: fields['ret'] !== undefined, ret: number('ret'), errno: number('errno') };
  const fd = descriptorOf(number('fd'), links, context);
  if (call.op === 'memfd_create') {
    const create = `syscall(SYS_memfd_create, ${quote(String(fields['name'] ?? ''))}, ${hex(number('flags'))})`;
    return made(seq, 'memfd_create', reply, links, context, [`long ret = ${create};`]);
  }
  if (call.op === 'ftruncate') {
    const lines = [`long ret = ftruncate(${fd}, ${hex(number('len'))});`];
    return { lines: [...lines, ...answered(seq, 'ftruncate', reply)] };
  }
  if (call.op === 'poll') {
    const lines = [
      `struct pollfd one = { .fd = ${fd}, .events = ${number('events')} };`,
      `long ret = poll(&one, 1, ${number('timeout')});`,
    ];
    return { lines: [...lines, ...answered(seq, 'poll', reply)] };
  }
  // The text form of libcap; what the selftests say is all but one capability.
  const dropped = /cap_(\w+)-e/.exec(String(fields['text'] ?? ''))?.[1]?.toUpperCase();
  const bit = dropped === undefined ? undefined : CAPABILITIES[dropped];
  if (call.op !== 'cap_set_proc' || bit === undefined) return { leftOut: call.op };
  return { lines: [`capabilities(${hex(ALL & ~(1n << BigInt(bit)))});`] };
}
