import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

type Content = Parameters<Test['testdir']>[0]

/** The folders of tests in this process. */
const created = new Set<string>()

/**
 * Creates a folder for a test. Each call without content creates another one. tap removes the folder
 * after the last cleanup of the test only if a cleanup is registered first.
 */
export function createTestFolder(t: Test, content?: Content): string {
  const folder = t.testdirName
  // tap has one folder per test, and would empty it under a server that uses it.
  if (content === undefined && created.has(folder)) return mkdtempSync(join(folder, 'another-'))
  created.add(folder)
  t.teardown(() => {})
  return t.testdir(content)
}
