/** A virtual id as a key: 16 hex digits. */
export function virtualKey(page: number, offset: number): string {
  return page.toString(16).padStart(13, '0') + offset.toString(16).padStart(3, '0');
}
