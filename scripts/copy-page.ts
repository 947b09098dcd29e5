/** Copies the files of the pages, such as styles and pictures, beside the compiled modules. */
import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const top = join(import.meta.dirname, '..')
const [dist = join(top, 'dist')] = process.argv.slice(2)

for (const folder of ['playground/page', 'playground/third-party', 'http/pages']) {
  const [from, to] = [join(top, 'src', folder), join(dist, folder)]
  for (const name of readdirSync(from)) {
    if (!name.endsWith('.ts')) cpSync(join(from, name), join(to, name))
  }
}
