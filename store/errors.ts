/**
 * The store cannot do what was asked: wrong file, newer schema, locked, full, a name that is taken. One line.
 */
export class StoreError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StoreError';
  }
}
