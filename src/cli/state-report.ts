import type {
  FactChange,
  GraphArea,
  GraphChanges,
  GraphEdge,
  GraphNode,
  ObjectGraph,
} from '../../replay/index.ts';
import type { FactValue } from '../model/index.ts';
import type { Session } from './session.ts';

/** The object graph on a terminal and as JSON. */

/** Prints the graph as trees: contexts and what belongs to them first, then the rest. */
export function printGraph(session: Session, graph: ObjectGraph): void {
  const { colors } = session;
  const labels = new Map(graph.nodes.map((node) => [node.key, fullLabel(graph, node)]));
  const children = new Map<string, GraphNode[]>();
  const keys = new Set(graph.nodes.map(({ key }) => key));
  for (const node of graph.nodes) {
    if (node.owner === null || !keys.has(node.owner)) continue;
    children.set(node.owner, [...(children.get(node.owner) ?? []), node]);
  }
  const print = (node: GraphNode, indent: string, branch: string): void => {
    const state = node.state === null ? '' : ` ${node.state}`;
    session.print(`${indent}${branch}${colors.bold(node.label)}${state}${factsText(node)}${sinceText(node)}`);
    const inner = branch === '' ? indent : `${indent}${branch.startsWith('├') ? '│  ' : '   '}`;
    const own = children.get(node.key) ?? [];
    const bar = own.length > 0 ? '│ ' : '  ';
    for (const line of detailsOf(graph, node, labels)) session.print(`${inner}${bar} ${line}`);
    own.forEach((child, at) => {
      print(child, inner, at === own.length - 1 ? '└─ ' : '├─ ');
    });
  };
  const roots = graph.nodes.filter(({ owner }) => owner === null || !keys.has(owner));
  const isContext = (node: GraphNode): boolean => node.context !== 0;
  for (const node of [...roots.filter(isContext), ...roots.filter((each) => !isContext(each))])
    print(node, '', '');
  if (graph.nodes.length === 0) session.remark('nothing is open at this point');
}

/** With several contexts an id alone does not tell an object. */
function fullLabel(graph: ObjectGraph, { label, kind, context }: GraphNode): string {
  const contexts = graph.nodes.filter((node) => node.kind === 'context').length;
  return kind === 'context' || context === 0 || contexts < 2 ? label : `${label} of context ${context}`;
}

/** Facts that are references already, or that the tree shows. */
const SHOWN_ELSEWHERE: ReadonlySet<string> = new Set([
  'ioas',
  'fault',
  'parent',
  'viommu',
  'device',
  'devices',
  'attached',
  'nested',
  'viommus',
  'vdevices',
  'veventqs',
  'hwQueues',
  'pageTables',
  'accessObjects',
  'reportedBy',
  'pinnedBy',
  'vdevice',
  'group',
  'objects',
  'areas',
  'maps',
]);

function factsText({ facts }: GraphNode): string {
  const shown = Object.entries(facts).filter(
    ([name, value]) => !SHOWN_ELSEWHERE.has(name) && !isEmpty(value),
  );
  const texts = shown.map(([name, value]) =>
    value === true ? inWords(name) : `${inWords(name)} ${valueText(value)}`,
  );
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`;
}

function isEmpty(value: FactValue): boolean {
  return value === false || (Array.isArray(value) && value.length === 0);
}

function inWords(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function valueText(value: FactValue): string {
  return Array.isArray(value) ? value.join(', ') : String(value);
}

function sinceText({ since }: { readonly since: number | null }): string {
  return since === null ? '' : `, since call ${since}`;
}

function detailsOf(graph: ObjectGraph, node: GraphNode, labels: ReadonlyMap<string, string>): string[] {
  const owned = (edge: GraphEdge): boolean => node.owner === edge.to;
  const maps = node.facts['maps'];
  return [
    ...(node.areas ?? []).map(areaText),
    ...(node.areas !== null && node.areaCount > node.areas.length
      ? [`… ${node.areaCount - node.areas.length} more areas: --areas N, or all`]
      : []),
    ...(Array.isArray(maps) ? maps.map((map) => `maps ${map}`) : []),
    ...graph.edges
      .filter((edge) => edge.from === node.key && !owned(edge))
      .map((edge) => `→ ${edge.role} ${labels.get(edge.to) ?? edge.to}${sinceText(edge)}`),
    ...graph.edges
      .filter(
        (edge) =>
          edge.to === node.key && graph.nodes.find(({ key }) => key === edge.from)?.owner !== node.key,
      )
      .map((edge) => `← ${labels.get(edge.from) ?? edge.from}: ${edge.role} this${sinceText(edge)}`),
  ];
}

function areaText({ iova, iovaLast, access, pid, memory, pins, since }: GraphArea): string {
  const of = pid === null ? 'of a file or dma-buf' : `of process ${pid}`;
  const pinned = pins === 0 ? '' : `, ${pins} pins`;
  return `${hex(iova)}-${hex(iovaLast)} ${access} to ${hex(memory)} ${of}${pinned}${sinceText({ since })}`;
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** Prints what became of the graph between two calls. */
export function printChanges(
  session: Session,
  changes: GraphChanges,
  after: ObjectGraph,
  before: ObjectGraph,
): void {
  const { colors } = session;
  const labels = new Map([...before.nodes, ...after.nodes].map((node) => [node.key, fullLabel(after, node)]));
  const label = (key: string): string => labels.get(key) ?? key;
  const edge = ({ from, role, to }: GraphEdge): string => `${label(from)}: ${role} ${label(to)}`;
  const add = (text: string): void => session.print(colors.green(`+ ${text}`));
  const drop = (text: string): void => session.print(colors.red(`- ${text}`));
  for (const node of changes.removed) drop(`${label(node.key)}${sinceText(node)}`);
  for (const node of changes.added) {
    add(`${label(node.key)}${factsText(node)}${sinceText(node)}`);
    for (const area of node.areas ?? []) add(`  ${areaText(area)}`);
  }
  for (const each of changes.edgesRemoved) drop(`${edge(each)}${sinceText(each)}`);
  for (const each of changes.edgesAdded) add(`${edge(each)}${sinceText(each)}`);
  for (const { node, facts, areasAdded, areasRemoved } of changes.changed) {
    session.print(
      `  ${colors.bold(label(node.key))}${facts.map((fact) => `, ${factChangeText(fact)}`).join('')}`,
    );
    for (const area of areasRemoved) drop(`  ${areaText(area)}`);
    for (const area of areasAdded) add(`  ${areaText(area)}`);
  }
  const { added, removed, changed, edgesAdded, edgesRemoved } = changes;
  if (added.length + removed.length + changed.length + edgesAdded.length + edgesRemoved.length === 0)
    session.remark('nothing changed between the two calls');
}

function factChangeText({ fact, before, after }: FactChange): string {
  const text = (value: FactValue | undefined): string =>
    value === undefined || (Array.isArray(value) && value.length === 0) ? 'none' : valueText(value);
  return `${inWords(fact)} ${text(before)} -> ${text(after)}`;
}

/** Addresses as hexadecimal text: JSON has no 64-bit numbers. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? hex(each) : each));
}
