/** Makes one small file each of the front-end client: for a script tag, and as a module. */
import { join } from 'node:path'
import { bundle, bundles } from './browser-bundles.ts'

const folder = join(import.meta.dirname, '../dist/browser')
for (const one of bundles) await bundle(one, join(folder, one.file))
