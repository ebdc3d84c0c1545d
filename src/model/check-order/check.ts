import type { Call } from '../../trace/index.ts';
import { decodeStruct, type FieldValue, findIoctl } from '../../uapi/index.ts';
import { pageOf } from '../address.ts';
import type { Kernel } from '../kernel.ts';
import type { Context, KernelObject, OpenFile } from '../state.ts';
import { isReadOnly } from '../user-memory.ts';

/** One check of a command: what the kernel may refuse, and on which way through the command it is made. */
export interface Check {
  /** Id of the reason. */
  readonly id: string;
  /** Where the command makes the same check more than once: the field or buffer that it is about. */
  readonly at: string | null;
  /** All must hold, else the kernel does not come this way. */
  readonly when: readonly Condition[];
  /** Whether it is this one that refuses, of several with the same reason; null where the state tells. */
  readonly isIt: Condition | null;
}

/** A call as the conditions see it: before it ran. */
export interface CallFacts {
  readonly kernel: Kernel;
  readonly call: Call;
  /** The context behind the descriptor; null when it has none. */
  readonly context: Context | null;
  /** Open files of the caller by descriptor. */
  readonly descriptors: Readonly<Record<number, number>>;
  /** Address space of the caller; null for a process that was never seen. */
  readonly mm: number | null;
  /** Fields of the struct by name, those of the union included. */
  readonly fields: Fields;
}

type Fields = Readonly<Record<string, FieldValue | undefined>>;

/** Whether the kernel comes this way. */
export type Condition = (facts: CallFacts) => boolean;

/** A step of a list: the id of a check, or checks. */
export type Step = string | Check | readonly Check[];

/** Checks in the kernel's order. */
export function inOrder(...steps: readonly Step[]): readonly Check[] {
  return steps.flatMap((step) =>
    typeof step === 'string' ? { id: step, at: null, when: [], isIt: null } : step,
  );
}

/** The same check about one of several things. */
export function about(at: string, id: string, isIt: Condition | null = null): Check {
  return { id, at, when: [], isIt };
}

/** Checks that are made on one way only. */
export function when(condition: Condition, ...steps: readonly Step[]): readonly Check[] {
  return inOrder(...steps).map((check) => ({ ...check, when: [condition, ...check.when] }));
}

/** What the conditions look at; must be asked before the call runs. */
export function factsOf(kernel: Kernel, call: Call): CallFacts {
  const { processes, files, contexts } = kernel.state;
  // A process never seen before has the descriptors of the one that called last: its parent.
  const process = processes[call.pid] ?? processes[kernel.lastPid];
  const descriptors = process?.descriptors ?? {};
  const file = 'fd' in call ? files[descriptors[call.fd] ?? 0] : undefined;
  const context = contexts[contextBehind(kernel, file)] ?? null;
  return { kernel, call, context, descriptors, mm: process?.mm ?? null, fields: fieldsOf(call) };
}

/** The context that a descriptor stands for, or that VFIO has bound its device or group to; 0 when none. */
function contextBehind({ state: { vfio } }: Kernel, file: OpenFile | undefined): number {
  if (file?.kind === 'device') return vfio.devices[file.object]?.context ?? 0;
  if (file?.kind === 'group') return vfio.groups[file.object]?.context ?? 0;
  return file?.context ?? 0;
}

function fieldsOf(call: Call): Fields {
  if (call.op !== 'ioctl' || call.arg === null) return {};
  const layout = findIoctl(call.kind, call.cmd)?.layout;
  if (!layout) return {};
  const { fields, member } = decodeStruct(layout, call.arg);
  return { ...member?.fields, ...fields };
}

/** A field that is a number; the kernel fills a short struct with zeros. */
export function numberIn({ fields }: CallFacts, name: string): number {
  const value = fields[name];
  return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : 0;
}

/** A field of 64 bits; the kernel fills a short struct with zeros. */
export function wideIn({ fields }: CallFacts, name: string): bigint {
  const value = fields[name];
  return typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : 0n;
}

/** The open file behind the descriptor of the call. */
export function fileIn({ kernel, call, descriptors }: CallFacts): OpenFile | undefined {
  return 'fd' in call ? kernel.state.files[descriptors[call.fd] ?? 0] : undefined;
}

/** The object that a field names, of whatever type. */
export function objectIn(facts: CallFacts, name: string): KernelObject | undefined {
  return facts.context?.objects[numberIn(facts, name)];
}

/** Whether the answer can not be written into the struct. */
export function isAnswerUndeliverable({ kernel, call, mm }: CallFacts): boolean {
  return call.op === 'ioctl' && mm !== null && isReadOnly(kernel.memory, mm, pageOf(call.argp));
}
