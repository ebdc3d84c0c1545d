/** What every object has. */
export interface ObjectBase {
  readonly id: number;
  /** `obj.users`: 1 while nothing refers to it. */
  users: number;
  /** State of the lifecycle of its type. */
  lifecycle: number;
}
