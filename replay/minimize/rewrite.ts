import {
  type ApiCall,
  type Call,
  type CallLinks,
  type IoctlCall,
  type Link,
  setValueAt,
} from '../../src/trace/index.ts';

/** Numbers of resources in the shorter trace, by index; memory stays where it was. */
export type Numbers = ReadonlyMap<number, bigint>;

/** A call whose fields may be set: the copy that belongs to a shorter trace. */
export type OwnCall<C extends Call = Call> = { -readonly [Key in keyof C]: C[Key] };

/**
 * A copy of a call in which every number that the caller names is the one of the shorter trace. What the
 * kernel answers stays as recorded.
 */
export function withNumbers(call: Call, links: CallLinks, numbers: Numbers): OwnCall {
  const own: OwnCall = { ...call };
  const fd = numberAt(links, 'fd', numbers);
  if (fd !== null && 'fd' in own) own.fd = Number(fd);
  if (fd !== null && 'fields' in own) own.fields = { ...own.fields, fd: Number(fd) };
  if (own.op === 'ioctl') rewriteStruct(own, links.uses, numbers);
  if (own.op === 'call') own.args = withArguments(own.args, links.uses, numbers);
  if ((own.op === 'write' || own.op === 'pwrite') && own.arg instanceof Uint8Array)
    own.arg = withCookies(own.arg, links.uses, numbers);
  return own;
}

function withArguments(args: ApiCall['args'], links: readonly Link[], numbers: Numbers): ApiCall['args'] {
  const own = { ...args };
  for (const { resource, place } of links) {
    const number = numbers.get(resource.index);
    if (place.at === 'args' && number !== undefined) own[place.key] = Number(number);
  }
  return own;
}

function rewriteStruct(own: OwnCall<IoctlCall>, links: readonly Link[], numbers: Numbers): void {
  const { arg, out } = own;
  if (arg === null) return;
  const isSame = out === arg;
  own.arg = Uint8Array.from(arg);
  for (const { resource, place, delta } of links) {
    const number = numbers.get(resource.index);
    if (place.at === 'struct' && number !== undefined) setValueAt(own.arg, place.site, number + delta);
  }
  if (isSame || out === null) {
    own.out = isSame ? own.arg : null;
    return;
  }
  own.out = Uint8Array.from(out);
  for (const { resource, place, delta } of links) {
    const number = numbers.get(resource.index);
    // What is only asked stands in the answer as it was asked.
    if (place.at === 'struct' && place.site.dir === 'in' && number !== undefined)
      setValueAt(own.out, place.site, number + delta);
  }
}

/** Sets the numbers that the kernel gave in the recorded answer to those of the shorter trace. */
export function setGiven(own: OwnCall, links: readonly Link[], numbers: Numbers): void {
  for (const { resource, place } of links) {
    const number = numbers.get(resource.index);
    if (number === undefined) continue;
    if (place.at === 'ret' && 'ret' in own) own.ret = Number(number);
    if (place.at === 'ret' && own.op === 'open') own.fd = Number(number);
    if (place.at === 'ret' && 'fields' in own)
      own.fields = { ...own.fields, fd: Number(number), ret: Number(number) };
    if (place.at === 'newfd' && own.op === 'ioctl') own.newFd = Number(number);
    if (place.at === 'struct' && own.op === 'ioctl' && own.out !== null) {
      if (own.out === own.arg) own.out = Uint8Array.from(own.out);
      setValueAt(own.out, place.site, number);
    }
    if (place.at === 'bytes' && own.op === 'read' && own.out instanceof Uint8Array)
      own.out = withCookies(own.out, [{ resource, place, delta: 0n }], numbers);
  }
}

function withCookies(bytes: Uint8Array, links: readonly Link[], numbers: Numbers): Uint8Array {
  const own = Uint8Array.from(bytes);
  const view = new DataView(own.buffer);
  for (const { resource, place } of links) {
    const number = numbers.get(resource.index);
    if (place.at === 'bytes' && number !== undefined) view.setUint32(place.offset, Number(number), true);
  }
  return own;
}

function numberAt(links: CallLinks, at: 'fd', numbers: Numbers): bigint | null {
  const link = links.uses.find(({ place }) => place.at === at);
  return link === undefined ? null : (numbers.get(link.resource.index) ?? null);
}
