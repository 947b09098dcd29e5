import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { Script } from 'node:vm'

/**
 * `dist/cli/program.js` of the image: runs the bundle with the compiled code that an earlier run saved.
 * Node's compile cache has what Node compiles before a module runs. This cache also has the functions
 * that a role calls while it starts.
 */

const folder = import.meta.dirname
const role = process.argv.find((argument) => argument === 'issuer' || argument === 'verifier')
export const cachePath = join(folder, `${role}.cache`)

const filename = join(folder, 'bundle.cjs')
// The bundle is ASCII, which this encoding keeps at one byte a character.
const code = `(function (module, exports, require, __filename, __dirname) {${readFileSync(filename, 'latin1')}\n})`
export const script = new Script(code, {
  filename,
  // V8 ignores a cache of another version, of other options, or of another text.
  ...(existsSync(cachePath) && { cachedData: readFileSync(cachePath) }),
})

const module = { exports: {} as typeof import('../src/cli/program.ts') }
script.runInThisContext()(module, module.exports, createRequire(filename), filename, folder)
export const { runProgram } = module.exports
