import type { Test } from 'tap'

/** Closes what a test has opened when the test ends. */
export function closedWith<Opened extends { close(): unknown }>(t: Test, opened: Opened): Opened {
  t.teardown(() => opened.close())
  return opened
}
