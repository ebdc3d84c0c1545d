import type { CallOp, DescriptorKind } from '../src/trace/index.ts';

/**
 * Numbers of (op, kind) as they stand in `call.what`. They are on people's disks: only ever add at the end of
 * a list, and raise the schema version when you do, so that the table `record_kind` follows.
 */

/** Descriptor kinds in the order of their number. */
const KINDS = [
  ...['iommufd', 'container', 'group', 'device', 'access', 'fault', 'veventq', 'memfd', 'dmabuf', 'kvm'],
  ...['kvm-vfio', '?'],
] as readonly DescriptorKind[];

/** Note kinds that have a number. Number 0 is "another": its name is in `more`. */
const NOTE_KINDS = ['', 'usermem', 'pagemap', 'marker', 'mmapbytes', 'edu_dma', 'bytes', 'exit'] as const;

/** Operations in the order of their number. */
const OPS = [
  ...[
    'ioctl',
    'open',
    'close',
    'mmap',
    'munmap',
    'read',
    'pread',
    'write',
    'pwrite',
    'fork',
    'waitpid',
    'note',
  ],
  ...['poll', 'memfd_create', 'ftruncate', 'cap_set_proc', 'procstatus', 'call', 'dma'],
] as readonly CallOp[];

const OPS_ON_DESCRIPTORS: ReadonlySet<CallOp> = new Set<CallOp>([
  ...(['ioctl', 'open', 'close', 'mmap', 'read', 'pread', 'write', 'pwrite'] as const),
]);

const OP_STRIDE = 32;

/** One row of `record_kind`. */
export interface RecordKind {
  readonly what: number;
  readonly op: CallOp;
  /** Descriptor kind or note kind; null for operations without one and for notes of another kind. */
  readonly kind: string | null;
}

/** All rows of `record_kind`. */
export const RECORD_KINDS: readonly RecordKind[] = OPS.flatMap((op, opIndex) =>
  kindsOf(op).map((kind, kindIndex) => ({ what: opIndex * OP_STRIDE + kindIndex, op, kind })),
);

function kindsOf(op: CallOp): readonly (string | null)[] {
  if (OPS_ON_DESCRIPTORS.has(op)) return KINDS;
  return op === 'note' ? NOTE_KINDS.map((kind) => (kind === '' ? null : kind)) : [null];
}

const BY_WHAT: readonly (RecordKind | undefined)[] = RECORD_KINDS.reduce<(RecordKind | undefined)[]>(
  (table, row) => {
    table[row.what] = row;
    return table;
  },
  [],
);

const WHAT_OF = new Map(RECORD_KINDS.map(({ what, op, kind }) => [`${op} ${kind ?? ''}`, what]));

/** Kinds of ioctl rows by `what`; every other `what` is beyond its end. */
export const IOCTL_KINDS: readonly DescriptorKind[] = KINDS;

/** The number of an operation on a kind; a note of a kind without a number gets the number of "another". */
export function whatOf(op: CallOp, kind: string | null): number {
  return WHAT_OF.get(`${op} ${kind ?? ''}`) ?? WHAT_OF.get(`${op} `)!;
}

const IOCTL_WHAT: Readonly<Record<string, number>> = Object.fromEntries(
  KINDS.map((kind) => [kind, whatOf('ioctl', kind)]),
);

/** The same for an ioctl, of which there are so many that no text is put together for it. */
export function whatOfIoctl(kind: DescriptorKind): number {
  return IOCTL_WHAT[kind]!;
}

/** What a number stands for; undefined when the row was not written by this version. */
export function recordKindOf(what: number): RecordKind | undefined {
  return BY_WHAT[what];
}
