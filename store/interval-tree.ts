/**
 * A binary tree over all numbers of calls, of which only the numbers of nodes are kept: each interval stands
 * at the one node that it contains and that is highest, and whoever asks for a point looks at the nodes on
 * the way to it. Node n is as high as it has zeros at the end; 0 is the root. Source: Kriegel, Pötke, Seidl,
 * "Managing Intervals Efficiently in Object-Relational Databases", VLDB 2000.
 */

/** Node of the calls first..last, both inclusive. */
export function nodeOf(first: number, last: number): number {
  let node = last;
  for (let width = 2; node > 0; width *= 2) {
    const higher = last - (last % width);
    if (higher < first) break;
    node = higher;
  }
  return node;
}

/** Calls are numbered below this. */
const CALLS_END = 2 ** 53;

/** The nodes of all intervals that may contain a call: at most one of each height. */
export function nodesAbove(seq: number): number[] {
  const nodes = [0];
  for (let height = 1; height < CALLS_END; height *= 2) {
    const base = seq - (seq % (2 * height));
    // A multiple of the width is itself a node further up, or the root.
    if (base !== seq) nodes.push(base + height);
  }
  return nodes;
}
