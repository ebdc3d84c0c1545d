/** Pages first..first+count-1 with ascending frames, or with unknown ones. */
export interface FrameRun {
  readonly first: number;
  readonly count: number;
  /** Of `first`, or UNKNOWN_FRAME. */
  readonly frame: number;
}
