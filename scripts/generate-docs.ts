/** Writes the documents that are generated from the code. A test fails if they are out of date. */
import { writeFileSync } from 'node:fs'
import { configDocument } from './config-document.ts'

writeFileSync(new URL('../docs/config.md', import.meta.url), configDocument())
