import { type GraphEdge, type GraphNode, objectGraph, spacesByNode } from '../graph/index.ts';
import { type Stepper, sinceOf } from '../timeline/index.ts';
import { type AreaDifference, compareAreas } from './compare-areas.ts';

/** What differs between the states of two kernels whose objects were matched. */
export interface StateDifference {
  /** What it is about, in words. */
  readonly about: string;
  /** Null when only the other has it. */
  readonly a: string | null;
  readonly b: string | null;
}

export interface StateComparison {
  readonly differences: readonly StateDifference[];
  /** Areas, by the address space that they lie in. */
  readonly areas: readonly (AreaDifference & { readonly about: string })[];
}

/** A kernel, and a name for each node that means the same in both. */
export interface NamedState {
  readonly stepper: Stepper;
  name(key: string): string | null;
}

/** Facts that name objects by id, which the references tell, or that count what is listed. */
const NOT_COMPARED: ReadonlySet<string> = new Set([
  ...['ioas', 'fault', 'parent', 'viommu', 'device', 'devices', 'attached', 'nested', 'viommus'],
  ...['vdevices', 'veventqs', 'hwQueues', 'pageTables', 'accessObjects', 'reportedBy', 'pinnedBy'],
  ...['vdevice', 'group', 'idsTaken', 'openedBy', 'areas'],
]);

interface Named {
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly edges: ReadonlyMap<string, GraphEdge>;
}

export function compareStates(a: NamedState, b: NamedState): StateComparison {
  const [one, other] = [readState(a), readState(b)];
  const differences: StateDifference[] = [];
  for (const [name, node] of one.nodes) {
    const same = other.nodes.get(name);
    if (same === undefined) differences.push({ about: node.label, a: 'there', b: null });
    else differences.push(...factDifferences(node, same));
  }
  for (const [name, node] of other.nodes)
    if (!one.nodes.has(name)) differences.push({ about: node.label, a: null, b: 'there' });
  const isBetweenBoth = ({ nodes }: Named, name: string): boolean => nodes.has(name);
  for (const [name, edge] of one.edges) {
    const [from = '', to = ''] = name.split('|');
    if (other.edges.has(name) || !isBetweenBoth(other, from) || !isBetweenBoth(other, to)) continue;
    differences.push({ about: labelOf(one, from), a: `${edge.role} ${labelOf(one, to)}`, b: null });
  }
  for (const [name, edge] of other.edges) {
    const [from = '', to = ''] = name.split('|');
    if (one.edges.has(name) || !isBetweenBoth(one, from) || !isBetweenBoth(one, to)) continue;
    differences.push({ about: labelOf(other, from), a: null, b: `${edge.role} ${labelOf(other, to)}` });
  }
  return { differences, areas: areaDifferences(a, b, one, other) };
}

function labelOf({ nodes }: Named, name: string): string {
  return nodes.get(name)?.label ?? name;
}

function readState({ stepper, name }: NamedState): Named {
  const { kernel, tracker } = stepper;
  const graph = objectGraph(kernel, stepper.seq(), { mostAreas: 0, since: sinceOf(tracker, kernel) });
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  const inOrder = [...graph.nodes].sort((x, y) => (x.since ?? 0) - (y.since ?? 0));
  for (const node of inOrder) names.set(node.key, name(node.key) ?? ownName(node, counts));
  const nodes = graph.nodes.map((node): [string, GraphNode] => [names.get(node.key)!, node]);
  const edges = graph.edges.map((edge): [string, GraphEdge] => {
    // A descriptor's number is another one in every run.
    const role = edge.role.replace(/^descriptor \d+$/, 'descriptor');
    return [`${names.get(edge.from)}|${names.get(edge.to)}|${role}`, { ...edge, role }];
  });
  return { nodes: new Map(nodes), edges: new Map(edges) };
}

/** What is no object of a context is told by its own name, or by the order in which it came. */
function ownName({ kind, label, key, context }: GraphNode, counts: Map<string, number>): string {
  if (kind === 'device-function' || kind === 'iommu') return label;
  if (kind === 'process' || kind === 'container' || kind === 'dmabuf') {
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return `${kind} no. ${count}`;
  }
  // An object that no call of the other trace has made.
  return context === 0 ? key : `${key} of one only`;
}

function factDifferences(one: GraphNode, other: GraphNode): StateDifference[] {
  const about = one.label === other.label ? one.label : `${one.label} (${other.label} in B)`;
  const [a, b] = [factsOf(one), factsOf(other)];
  const names = [...new Set([...a.keys(), ...b.keys()])];
  return names
    .filter((name) => a.get(name) !== b.get(name))
    .map((name) => ({ about: `${about}: ${name}`, a: a.get(name) ?? null, b: b.get(name) ?? null }));
}

function factsOf({ state, facts }: GraphNode): Map<string, string> {
  const texts = Object.entries(facts)
    .filter(([name]) => !NOT_COMPARED.has(name))
    .map(([name, value]): [string, string] => [name, textOf(value)]);
  return new Map(state === null ? texts : [['state', state], ...texts]);
}

/** Ids of whoever reserved a range are left out: the range says enough. */
function textOf(value: GraphNode['facts'][string]): string {
  const texts = Array.isArray(value) ? value.map(String) : [String(value)];
  return texts.map((text) => text.replace(/ for (\D+) \d+$/, ' for $1')).join(', ');
}

function areaDifferences(a: NamedState, b: NamedState, one: Named, other: Named): StateComparison['areas'] {
  const [spacesA, spacesB] = [spacesByNode(a.stepper.kernel), spacesByNode(b.stepper.kernel)];
  const found: (AreaDifference & { about: string })[] = [];
  for (const [name, node] of one.nodes) {
    const [spaceA, same] = [spacesA.get(node.key), other.nodes.get(name)];
    const spaceB = same === undefined ? undefined : spacesB.get(same.key);
    if (spaceA === undefined || spaceB === undefined) continue;
    const difference = compareAreas({ ...a.stepper, space: spaceA }, { ...b.stepper, space: spaceB });
    if (difference !== null) found.push({ about: node.label, ...difference });
  }
  return found;
}

/** Nodes of one side by names that both have: objects by their number, the rest by null. */
export function nameByNumber(
  keys: ReadonlyMap<number, string>,
  translate: (number: number) => string,
): (key: string) => string | null {
  const numbers = new Map([...keys].map(([number, key]) => [key, number]));
  return (key) => {
    const number = numbers.get(key);
    return number === undefined ? null : translate(number);
  };
}
