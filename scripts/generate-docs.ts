/** Writes the documents that are made of the code. A test holds them to be current. */
import { writeFileSync } from 'node:fs'
import { configDocument } from '../src/config/document.ts'

writeFileSync(new URL('../docs/config.md', import.meta.url), configDocument())
