import { contextKey, type Kernel, objectKey } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import type { Stepper } from '../timeline/index.ts';
import type { AutomaticIovas } from './automatic-iovas.ts';
import type { MeaningField } from './meaning.ts';

/** What is shared by those who read calls: names of objects, and what descriptors stand for. */

/** Numbers of objects by their node in the object graph. */
export interface Names {
  readonly automatic: AutomaticIovas;
  /** Containers by their open file, in the order in which calls came to them. */
  readonly containers: Map<number, number>;
  /** Objects made by the call in progress. */
  readonly made: readonly number[];
  /** As before the call. */
  find(key: string): number | null;
  /** As after it. */
  findMade(key: string): number | null;
  /** Type, id and maker of an object. */
  label(object: number): string;
  /** The call is done with: what it made has a number from now on, and what it destroyed has none. */
  settle(seq: number): void;
}

/** What the meaning of a call is read from, right after the model has executed it. */
export interface MeaningReader {
  readonly kernel: Kernel;
  readonly roles: Stepper['tracker']['roles'];
  readonly names: Names;
  readonly call: Call;
}

export function plain(name: string, text: string): MeaningField {
  return { name, text, object: null, label: null };
}

/** What a descriptor stands for; `otherwise` where nobody knows. */
export function descriptorField(
  { state, machine }: Kernel,
  names: Names,
  pid: number,
  fd: number,
  name: string,
  otherwise: string,
): MeaningField {
  const file = state.files[state.processes[pid]?.descriptors[fd] ?? 0];
  if (file === undefined) return plain(name, otherwise);
  const { kind, context, object, id } = file;
  if (kind === 'container' || (kind === 'iommufd' && otherwise === 'container')) {
    // Whether the classic driver or iommufd serves it is for the answers to tell.
    if (!names.containers.has(id)) names.containers.set(id, names.containers.size + 1);
    return plain(name, `container no. ${names.containers.get(id)}`);
  }
  if (kind === 'device') {
    const device = machine.devices[object];
    return plain(name, `device ${device === undefined ? '' : device.bdf || device.path}`);
  }
  if (kind === 'group') return plain(name, `group ${object}`);
  const key = context === 0 ? null : object === 0 ? contextKey(context) : objectKey(context, object);
  const number = key === null ? null : names.find(key);
  return { name, text: kind, object: number, label: number === null ? null : names.label(number) };
}
