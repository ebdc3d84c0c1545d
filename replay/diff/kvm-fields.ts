import { type IoctlCall, isSkipped } from '../../src/trace/index.ts';
import { bytesText, valueText } from './field-text.ts';
import type { MeaningField } from './meaning.ts';
import { descriptorField, type MeaningReader, plain } from './meaning-reader.ts';

/**
 * What a VMM tells KVM of its devices: linux/kvm.h, and Documentation/virt/kvm/devices/vfio.rst for the
 * device `vfio`, which learns of the groups and devices whose DMA is coherent or whose TLBs it may flush.
 */

/** Bytes of structs that KVM reads: where a number stands, and how wide it is. */
interface KvmField {
  readonly name: string;
  readonly at: number;
  readonly bytes: 4 | 8;
  /** A new descriptor that KVM answers, one that it is given, or the address of one. */
  readonly is?: 'new-fd' | 'fd-at';
  readonly names?: Readonly<Record<number, string>>;
}

interface KvmCommand {
  readonly name: string;
  readonly fields: readonly KvmField[];
}

/** `enum kvm_device_type`; the others are interrupt controllers. */
const DEVICE_TYPES: Readonly<Record<number, string>> = { 4: 'KVM_DEV_TYPE_VFIO' };
const VFIO_GROUPS: Readonly<Record<number, string>> = { 1: 'KVM_DEV_VFIO_FILE' };
const VFIO_ATTRIBUTES: Readonly<Record<number, string>> = {
  1: 'KVM_DEV_VFIO_FILE_ADD',
  2: 'KVM_DEV_VFIO_FILE_DEL',
  3: 'KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE',
};

/** `struct kvm_device_attr`. */
const ATTRIBUTE: readonly KvmField[] = [
  { name: 'flags', at: 0, bytes: 4 },
  { name: 'group', at: 4, bytes: 4, names: VFIO_GROUPS },
  { name: 'attr', at: 8, bytes: 8, names: VFIO_ATTRIBUTES },
  { name: 'file', at: 16, bytes: 8, is: 'fd-at' },
];

const COMMANDS: Readonly<Record<number, KvmCommand>> = {
  3222056672: {
    name: 'KVM_CREATE_DEVICE',
    fields: [
      { name: 'type', at: 0, bytes: 4, names: DEVICE_TYPES },
      { name: 'fd', at: 4, bytes: 4, is: 'new-fd' },
      { name: 'flags', at: 8, bytes: 4 },
    ],
  },
  1075359457: { name: 'KVM_SET_DEVICE_ATTR', fields: ATTRIBUTE },
  1075359459: { name: 'KVM_HAS_DEVICE_ATTR', fields: ATTRIBUTE },
};

/** The name of a command that is about devices; null for all that KVM is asked beside. */
export function kvmName({ kind, cmd }: Pick<IoctlCall, 'kind' | 'cmd'>): string | null {
  return kind === 'kvm' || kind === 'kvm-vfio' ? (COMMANDS[cmd]?.name ?? null) : null;
}

/** What it says: descriptors as what they stand for. */
export function kvmFields(reader: MeaningReader, call: IoctlCall): MeaningField[] {
  const { arg } = call;
  const command = COMMANDS[call.cmd];
  if (command === undefined) return [];
  if (arg === null) return [plain('argument', 'bad')];
  const view = new DataView(arg.buffer, arg.byteOffset, arg.length);
  return command.fields.flatMap(({ name, at, bytes, is, names }) => {
    if (is === 'new-fd' || at + bytes > arg.length) return [];
    const value = bytes === 4 ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
    if (is === 'fd-at') return [fileField(reader, call, name, value)];
    return [plain(name, names?.[Number(value)] ?? valueText(value))];
  });
}

/** The descriptor that lies at an address, where it was recorded. */
function fileField({ kernel, names }: MeaningReader, call: IoctlCall, name: string, address: bigint) {
  const buffer = call.mem.find(({ addr }) => addr === address);
  if (buffer?.before == null || isSkipped(buffer.before) || buffer.before.length < 4)
    return plain(name, buffer === undefined ? 'not recorded' : bytesText(buffer.before));
  const { before } = buffer;
  const fd = new DataView(before.buffer, before.byteOffset).getInt32(0, true);
  return descriptorField(kernel, names, call.pid, fd, name, 'descriptor');
}
