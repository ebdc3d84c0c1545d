/** Public entry of the object graph at a point of a trace. */
export { changesBetween, type FactChange, type GraphChanges, type NodeChange } from './graph-changes.ts';
export { renderGraph } from './graph-mermaid.ts';
export {
  type GraphArea,
  type GraphEdge,
  type GraphNode,
  type GraphOptions,
  graphAround,
  type ObjectGraph,
  objectGraph,
  type Since,
  spacesByNode,
} from './object-graph.ts';
