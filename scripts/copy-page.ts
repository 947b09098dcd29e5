/** Puts what the playground shows beside its compiled modules: the build only makes those. */
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const [from, to] = ['src', 'dist'].map((folder) =>
  join(import.meta.dirname, '..', folder, 'playground/page'),
) as [string, string]
for (const name of readdirSync(from)) {
  if (!name.endsWith('.ts')) cpSync(join(from, name), join(to, name))
}
