import { contextLifecycle } from '../../machines/index.ts';
import { dropDeadSpace } from './accounting.ts';
import type { Kernel } from './kernel.ts';
import type { Context, OpenFile, Process } from './state.ts';
import { setU32 } from './user-call.ts';
import { createSpace, forkSpace } from './user-memory.ts';
import { copyWindows } from './window.ts';

/** Processes and their descriptors: which open file a number means. */

/**
 * The process with this pid; one never seen before is taken as a fork of `parent`, the last one that acted.
 */
export function processOf(kernel: Kernel, pid: number, parent: number): Process {
  return kernel.state.processes[pid] ?? forkProcess(kernel, pid, parent);
}

/**
 * A new process: a copy of its parent's descriptors and address space, or an empty one without a known
 * parent.
 */
export function forkProcess(kernel: Kernel, pid: number, parentPid: number): Process {
  const parent = kernel.state.processes[parentPid];
  const mm = parent === undefined ? createSpace(kernel.memory) : forkSpace(kernel.memory, parent.mm);
  const process: Process = { pid, mm, descriptors: {} };
  if (parent !== undefined) {
    for (const [fd, file] of Object.entries(parent.descriptors)) {
      process.descriptors[Number(fd)] = file;
      if (file !== UNRECORDED) holdFile(kernel, kernel.state.files[file]!);
    }
    copyWindows(kernel, parent.mm, mm);
    if (parent.limits !== undefined) process.limits = { ...parent.limits };
  }
  kernel.state.processes[pid] = process;
  return process;
}

function holdFile(kernel: Kernel, file: OpenFile): void {
  file.descriptors += 1;
  const context = kernel.state.contexts[file.context];
  if (file.kind === 'iommufd' && context !== undefined) context.fileRefs += 1;
}

/** Opens /dev/iommu (or, counting as VFIO does, /dev/vfio/vfio) under the number that open returned. */
export function openContext(
  kernel: Kernel,
  process: Process,
  fd: number,
  accountMode: 'user' | 'mm',
): Context {
  const context: Context = {
    id: kernel.state.nextContext,
    lifecycle: contextLifecycle.initial,
    accountMode,
    vfioIoas: 0,
    fileRefs: 1,
    objects: {},
    freeHint: 1,
    tombstones: {},
    constructing: 0,
    groups: {},
  };
  kernel.state.nextContext += 1;
  kernel.state.contexts[context.id] = context;
  addFile(kernel, process, fd, 'iommufd', context.id, 0);
  kernel.effects.contextOpened(context.id);
  return context;
}

/** Puts a new open file under a number. */
export function addFile(
  kernel: Kernel,
  process: Process,
  fd: number,
  kind: OpenFile['kind'],
  context: number,
  object: number,
  viaGroup = false,
): OpenFile {
  const file: OpenFile = { id: kernel.state.nextFile, kind, viaGroup, context, object, descriptors: 1 };
  kernel.state.nextFile += 1;
  kernel.state.files[file.id] = file;
  process.descriptors[fd] = file.id;
  return file;
}

/**
 * A descriptor that the kernel installs itself. Its number is the lowest free one, as far as the trace tells
 * which are taken: a guess that `bindDescriptor` corrects when a later record uses another number.
 */
export function installDescriptor(
  kernel: Kernel,
  pid: number,
  kind: OpenFile['kind'],
  context: number,
  object: number,
  viaGroup = false,
): number {
  const process = kernel.state.processes[pid]!;
  let fd = 0;
  while (process.descriptors[fd] !== undefined || fd < STANDARD_DESCRIPTORS) fd += 1;
  addFile(kernel, process, fd, kind, context, object, viaGroup);
  return fd;
}

/** As `installDescriptor`, for the caller: a field of its struct, `at` so many bytes, answers the number. */
export function answerDescriptor(
  kernel: Kernel,
  kind: OpenFile['kind'],
  context: number,
  object: number,
  name: string,
  at: number,
): void {
  const guess = installDescriptor(kernel, kernel.call.pid, kind, context, object);
  setU32(kernel.call, at, guess);
  kernel.call.unknown.push({ name, at, bytes: 4, guess });
}

/** Standard input, output and error are open in every process. */
const STANDARD_DESCRIPTORS = 3;
/** A descriptor that is taken by a file no record tells of. */
const UNRECORDED = 0;

/** An open answered `fd`, the lowest free number then: every lower one is taken. */
export function noteTaken(process: Process, fd: number): void {
  for (let lower = fd - 1; lower >= 0; lower -= 1) process.descriptors[lower] ??= UNRECORDED;
}

/** Tells that the descriptor of an object has another number than was guessed. */
export function renumberDescriptor(process: Process, from: number, to: number): void {
  const file = process.descriptors[from];
  if (file === undefined || from === to) return;
  delete process.descriptors[from];
  process.descriptors[to] = file;
}

/** The open file behind a number, or undefined. */
export function fileOf(kernel: Kernel, process: Process, fd: number): OpenFile | undefined {
  const id = process.descriptors[fd];
  return id === undefined ? undefined : kernel.state.files[id];
}

/** Another number for an open file: dup. False when nobody knows what the first number is. */
export function duplicateDescriptor(kernel: Kernel, process: Process, fd: number, copy: number): boolean {
  const file = fileOf(kernel, process, fd);
  if (file === undefined) return false;
  holdFile(kernel, file);
  process.descriptors[copy] = file.id;
  return true;
}

/** A number is taken by a file that the model knows nothing of. */
export function takeDescriptor(kernel: Kernel, process: Process, fd: number): void {
  addFile(kernel, process, fd, 'other', 0, 0);
}

/**
 * A record names a descriptor that the kernel installed, under another number than was guessed: the lowest
 * guess of that kind takes the number.
 */
export function adoptDescriptor(
  kernel: Kernel,
  process: Process,
  fd: number,
  kind: 'access' | 'fault' | 'veventq' | 'dmabuf' | 'device',
): OpenFile | undefined {
  for (const [number, id] of Object.entries(process.descriptors)) {
    const file = kernel.state.files[id];
    if (file?.kind !== kind) continue;
    renumberDescriptor(process, Number(number), fd);
    return file;
  }
  return undefined;
}

/** The process is gone: its descriptors close, and its memory can not be pinned any more. */
export function endProcess(
  kernel: Kernel,
  pid: number,
  release: (kernel: Kernel, file: OpenFile) => void,
): void {
  const process = kernel.state.processes[pid];
  if (process === undefined) return;
  kernel.memory.spaces[process.mm]!.alive = false;
  for (const id of Object.values(process.descriptors)) {
    const file = kernel.state.files[id];
    if (file !== undefined) release(kernel, file);
  }
  delete kernel.state.processes[pid];
  dropDeadSpace(kernel, process.mm);
}
