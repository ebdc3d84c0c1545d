import { errnoName } from '../../../uapi/index.ts';
import { isSkipped } from '../../bytes.ts';
import type { ByteString } from '../../call.ts';
import type { CallLinks, Link, Place, Resource } from '../../resources/index.ts';
import { type Literals, quote } from './literals.ts';

/** Pieces of C that the calls of a program are made of. */

/** What the C of a call is made with. */
export interface CallContext {
  readonly literals: Literals;
  readonly nameOf: (resource: Resource) => string;
}

/** Lines of C that make one call again; a text instead says why it cannot be made. */
export type CallCode = { readonly lines: readonly string[] } | { readonly leftOut: string };

/** Keeps the number that the kernel gave in its variable. */
export function takeNumber({ resource, place }: Link, { nameOf }: CallContext): string[] {
  if (place.at === 'ret') return [`v->${nameOf(resource)} = ret;`];
  if (place.at !== 'struct') return [];
  const { offset, bytes } = place.site;
  return [`v->${nameOf(resource)} = get${bytes === 8 ? 64 : 32}(a, ${offset});`];
}

/** A call that returns a descriptor, which is kept in its variable. */
export function made(
  seq: number,
  name: string,
  reply: Reply,
  links: CallLinks,
  context: CallContext,
  lines: readonly string[],
): CallCode {
  const taken = links.gives.flatMap((link) => takeNumber(link, context));
  const take = taken.length === 0 ? [] : ['if (ret != -1)', ...taken.map((line) => `\t${line}`)];
  return { lines: [...lines, ...answered(seq, name, reply, true), ...take] };
}

/** How a call ended. */
export interface Reply {
  readonly replied: boolean;
  readonly ret: number;
  readonly errno: number;
}

/** Prints what came beside what was recorded. `isNumber`: the kernel chose the number that is returned. */
export function answered(
  seq: number,
  name: string,
  { replied, ret, errno }: Reply,
  isNumber = false,
): string[] {
  const error = 'ret == -1 ? errno : 0';
  const label = quote(name);
  if (!replied) return [`printf("%d %s: not recorded, here %ld\\n", ${seq}, ${label}, (long)ret);`];
  if (isNumber) return [`made(${seq}, ${label}, ret, ${error}, ${errno});${errorComment(errno)}`];
  return [`result(${seq}, ${label}, ret, ${error}, ${ret}, ${errno});${errorComment(errno)}`];
}

function errorComment(errno: number): string {
  return errno === 0 ? '' : ` /* ${errnoName(errno) ?? errno} */`;
}

export function linkAt(links: readonly Link[], place: Place): Link | null {
  return (
    links.find(
      (link) =>
        link.place.at === place.at &&
        (place.at !== 'mem' || (link.place as { index: number }).index === place.index),
    ) ?? null
  );
}

export function numberAt({ resource, delta }: Link, { nameOf }: CallContext): string {
  return delta === 0n ? `v->${nameOf(resource)}` : `v->${nameOf(resource)} + ${hex(delta)}`;
}

export function addressOf(address: bigint, place: Place, links: CallLinks, context: CallContext): string {
  const link = linkAt(links.uses, place);
  return link === null ? `${hex(address)}ull` : numberAt(link, context);
}

export function descriptorOf(fd: number, links: CallLinks, context: CallContext): string {
  const link = linkAt(links.uses, { at: 'fd' });
  return link === null ? String(fd) : `v->${context.nameOf(link.resource)}`;
}

export function fill(at: string, bytes: Uint8Array, { literals }: CallContext): string {
  if (bytes.length > 16 && bytes.every((byte) => byte === 0)) return `fill_zero(${at}, ${bytes.length});`;
  return `fill(${at}, ${literals.bytes(bytes)}, ${bytes.length});`;
}

export function hasBytes(bytes: ByteString | null): bytes is Uint8Array {
  return bytes !== null && !isSkipped(bytes) && bytes.length > 0;
}

export function hex(value: bigint | number): string {
  const big = BigInt(value);
  return big < 10n && big >= 0n ? String(big) : `0x${BigInt.asUintN(64, big).toString(16)}`;
}

/** Descriptors from before the trace that the program can make for itself at its start. */
export function canMake(resource: Resource): boolean {
  return ['iommufd', 'container', 'eventfd'].includes(resource.kind);
}
