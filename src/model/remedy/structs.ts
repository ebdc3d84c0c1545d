import type { Call } from '../../trace/index.ts';
import { type Field, FLAG_TABLES, findIoctl, type IoctlEntry, renderFlags } from '../../uapi/index.ts';
import { numberIn, wideIn } from '../check-order/check.ts';
import { levelOf } from '../kernel-versions.ts';
import { sizeIn } from '../struct-sizes.ts';
import { hex, plain, type Refused, type Remedy, remedy } from './finding.ts';

/** Refusals of the struct as such, which no state decides. */

function entryOf(call: Call): IoctlEntry | undefined {
  return call.op === 'ioctl' ? findIoctl(call.kind, call.cmd) : undefined;
}

function tooSmall(refused: Refused): Remedy | null {
  const layout = entryOf(refused.call)?.layout;
  if (!layout) return null;
  return remedy(
    [plain(`size is ${numberIn(refused, 'size')}`)],
    `with a size of ${sizeIn(layout, refused.kernel.profile.release).minBytes} at least`,
  );
}

function tail(refused: Refused): Remedy | null {
  const { call, kernel } = refused;
  const layout = entryOf(call)?.layout;
  if (!layout || call.op !== 'ioctl' || call.arg === null) return null;
  const known = sizeIn(layout, kernel.profile.release).bytes;
  if (kernel.call.tailUnrecorded) {
    const kept = `this kernel knows ${known} bytes, and ${call.arg.length} were recorded, all zero from there on`;
    return remedy([plain(`${kept}; a byte behind them is taken to be set`)], `with a size of ${known}`);
  }
  const at = call.arg.findIndex((byte, index) => index >= known && byte !== 0);
  return remedy(
    [plain(`this kernel knows ${known} bytes, and the byte at ${at} is not zero`)],
    `with zeros from byte ${known} on, or a size of ${known}`,
  );
}

function unknownCommand({ call, kernel }: Refused): Remedy | null {
  const entry = entryOf(call);
  if (entry === undefined) return null;
  const { release } = kernel.profile;
  if (levelOf(entry.since) <= levelOf(release)) return null;
  return remedy([plain(`${entry.name} came with Linux ${entry.since}; this is ${release}`)]);
}

/** The flags, or the fields that share their check, as the caller gave them. */
function flags(refused: Refused): Remedy | null {
  const value = wideIn(refused, 'flags');
  const layout = entryOf(refused.call)?.layout;
  const field = layout?.fields.find(({ name }) => name === 'flags');
  if (value === 0n) return numberIn(refused, 'type') === 0 ? remedy([plain('type is 0')]) : null;
  const names =
    field?.flags === undefined ? hex(value) : renderFlags(FLAG_TABLES[field.flags], Number(value));
  return remedy([plain(`flags is ${names}`)]);
}

/** The reserved fields that are not zero. */
function reserved(refused: Refused): Remedy | null {
  const layout = entryOf(refused.call)?.layout;
  const set = (layout?.fields ?? []).filter(
    (field) => isReserved(field) && isSet(refused.fields[field.name]),
  );
  return remedy(
    set.map(({ name }) => plain(`${name} is not zero`)),
    set.length === 0 ? null : `with ${set.map(({ name }) => name).join(', ')} zero`,
  );
}

function isReserved({ name }: Field): boolean {
  return name.startsWith('__reserved');
}

function isSet(value: Refused['fields'][string]): boolean {
  if (value === undefined) return false;
  return typeof value === 'object' ? [...value].some((each) => Number(each) !== 0) : Number(value) !== 0;
}

/** Refusals that need no context. */
export const STRUCT_REMEDIES: Readonly<Record<string, (refused: Refused) => Remedy | null>> = {
  'struct-too-small': tooSmall,
  'struct-tail-not-zero': tail,
  'command-unknown': unknownCommand,
  'unknown-flags': flags,
  'reserved-field-set': reserved,
};
