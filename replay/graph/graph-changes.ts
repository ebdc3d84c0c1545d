import { isDeepStrictEqual } from 'node:util';
import type { FactValue } from '../../src/model/index.ts';
import type { GraphArea, GraphEdge, GraphNode, ObjectGraph } from './object-graph.ts';

/** A fact of a node that is another now; undefined where it was or is not stated. */
export interface FactChange {
  readonly fact: string;
  readonly before: FactValue | undefined;
  readonly after: FactValue | undefined;
}

export interface NodeChange {
  readonly node: GraphNode;
  /** Its facts and, as `state`, the state of its lifecycle. */
  readonly facts: readonly FactChange[];
  readonly areasAdded: readonly GraphArea[];
  readonly areasRemoved: readonly GraphArea[];
}

/** What became of a graph between two calls. */
export interface GraphChanges {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly added: readonly GraphNode[];
  readonly removed: readonly GraphNode[];
  readonly changed: readonly NodeChange[];
  readonly edgesAdded: readonly GraphEdge[];
  readonly edgesRemoved: readonly GraphEdge[];
}

/**
 * Compares the graphs of two points of one trace. What went away and came again under the same name counts as
 * both. Areas are compared where both graphs list all of them.
 */
export function changesBetween(before: ObjectGraph, after: ObjectGraph): GraphChanges {
  const isSameNode = (one: GraphNode, other: GraphNode | undefined): boolean =>
    other !== undefined && one.kind === other.kind && one.since === other.since;
  const oldNodes = new Map(before.nodes.map((node) => [node.key, node]));
  const newNodes = new Map(after.nodes.map((node) => [node.key, node]));
  const oldEdges = new Set(before.edges.map(edgeName));
  const newEdges = new Set(after.edges.map(edgeName));
  return {
    fromSeq: before.seq,
    toSeq: after.seq,
    added: after.nodes.filter((node) => !isSameNode(node, oldNodes.get(node.key))),
    removed: before.nodes.filter((node) => !isSameNode(node, newNodes.get(node.key))),
    changed: after.nodes.flatMap((node) => {
      const old = oldNodes.get(node.key);
      return old !== undefined && isSameNode(node, old) ? changesOfNode(old, node) : [];
    }),
    edgesAdded: after.edges.filter((edge) => !oldEdges.has(edgeName(edge))),
    edgesRemoved: before.edges.filter((edge) => !newEdges.has(edgeName(edge))),
  };
}

function edgeName({ from, role, to, since }: GraphEdge): string {
  return `${from}|${role}|${to}|${since}`;
}

function changesOfNode(before: GraphNode, after: GraphNode): NodeChange[] {
  const old: GraphNode['facts'] = {
    ...(before.state === null ? {} : { state: before.state }),
    ...before.facts,
  };
  const now: GraphNode['facts'] = { ...(after.state === null ? {} : { state: after.state }), ...after.facts };
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])];
  const facts = names
    .filter((fact) => !isDeepStrictEqual(old[fact], now[fact]))
    .map((fact) => ({ fact, before: old[fact], after: now[fact] }));
  const isComplete = [before, after].every(({ areas, areaCount }) => areas?.length === areaCount);
  const [oldAreas, newAreas] = isComplete ? [before.areas ?? [], after.areas ?? []] : [[], []];
  const oldNames = new Set(oldAreas.map(areaName));
  const newNames = new Set(newAreas.map(areaName));
  const areasAdded = newAreas.filter((area) => !oldNames.has(areaName(area)));
  const areasRemoved = oldAreas.filter((area) => !newNames.has(areaName(area)));
  if (facts.length + areasAdded.length + areasRemoved.length === 0) return [];
  return [{ node: after, facts, areasAdded, areasRemoved }];
}

function areaName({ iova, iovaLast, since }: GraphArea): string {
  return `${iova} ${iovaLast} ${since}`;
}
