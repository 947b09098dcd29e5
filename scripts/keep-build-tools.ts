/** Removes from package.json the packages that only tests and benchmarks use: they take a gigabyte. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const tools = ['@types/node', '@types/pg', 'esbuild', 'typescript']

const path = join(import.meta.dirname, '../package.json')
const manifest: { devDependencies: Record<string, string> } = JSON.parse(readFileSync(path, 'utf8'))
const kept = Object.entries(manifest.devDependencies).filter(([name]) => tools.includes(name))
manifest.devDependencies = Object.fromEntries(kept)
writeFileSync(path, `${JSON.stringify(manifest, null, 2)}\n`)
