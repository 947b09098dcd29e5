import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'

/** The content of a folder by name: the text of a file, or the content of another folder. */
interface Content {
  readonly [name: string]: string | Content
}

/**
 * A file system in memory, on Linux and if it has room. Servers then do not wait for a busy disk.
 */
const memory = '/dev/shm'
const minMemoryBytes = 2 * 1024 ** 3

function hasMemory(): boolean {
  if (!existsSync(memory)) return false
  // Tests execute scripts in their folders. Containers often forbid that here.
  if (/ \/dev\/shm .*\bnoexec\b/.test(readFileSync('/proc/self/mounts', 'utf8'))) return false
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize >= minMemoryBytes
}

const parentOfFolders = hasMemory() ? memory : tmpdir()

/**
 * Creates a folder outside the project, whose node_modules are not found from there. It is removed when
 * the test ends, after what the test has started.
 *
 * @param parent Default: in memory. Use `tmpdir()` for hundreds of megabytes.
 */
export function createTestFolder(t: Test, content: Content = {}, parent = parentOfFolders): string {
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, 'gatepass-test-'))
  // Programs may run as other users.
  chmodSync(folder, 0o755)
  // A process that is ending may still write.
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10 }))
  fill(folder, content)
  return folder
}

function fill(folder: string, content: Content): void {
  for (const [name, item] of Object.entries(content)) {
    const path = join(folder, name)
    if (typeof item === 'string') {
      writeFileSync(path, item)
    } else {
      mkdirSync(path)
      fill(path, item)
    }
  }
}
