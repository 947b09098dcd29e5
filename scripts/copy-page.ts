/** Copies the files of the pages, such as styles and pictures, beside the compiled modules. */
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

for (const folder of ['playground/page', 'playground/third-party', 'http/pages']) {
  const [from, to] = ['src', 'dist'].map((root) =>
    join(import.meta.dirname, '..', root, folder),
  ) as [string, string]
  for (const name of readdirSync(from)) {
    if (!name.endsWith('.ts')) cpSync(join(from, name), join(to, name))
  }
}
