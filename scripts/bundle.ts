/**
 * Bundles the service that `npm run build` left in dist: `dist/cli/program.js` and its packages become
 * bundle.cjs, with a loader in its place. Large packages that not every process needs get files of their
 * own, loaded on use.
 *
 * The image runs the bundle, because its packages are those of the lock file. The npm package does not,
 * so that `npm audit` and `npm update` apply to the code that runs.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'

const [folder = join(import.meta.dirname, '../dist')] = process.argv.slice(2)
const dist = resolve(folder)
const cli = join(dist, 'cli')

/** The clients of databases, and the generator of the OpenAPI document. */
const loadedOnUse = ['@redis/client', 'pg', '@fastify/swagger']
const fileOf = (name: string) => `package-${name.replace(/\W+/g, '-').replace(/^-/, '')}.cjs`

/** Keeps `import.meta` of each module, by which the service finds pages and child programs in dist. */
const importMeta: Plugin = {
  name: 'import-meta',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const code = readFileSync(path, 'utf8')
      if (!path.startsWith(`${dist}/`) || !code.includes('import.meta')) return
      const place = JSON.stringify(relative(cli, path))
      const filename = `require('node:path').join(__dirname, ${place})`
      const meta = `{ filename: ${filename}, url: require('node:url').pathToFileURL(${filename}).href }`
      const contents = `const ownMeta = ${meta}\n${code.replaceAll('import.meta', 'ownMeta')}`
      return { contents, resolveDir: dirname(path) }
    })
  },
}

/** Loads these packages from their own files, when the first module that imports one runs. */
const ownFiles: Plugin = {
  name: 'own-files',
  setup({ onResolve, onLoad }) {
    const filter = new RegExp(`^(${loadedOnUse.join('|')})$`)
    onResolve({ filter }, ({ path }) => ({ path, namespace: 'own-files' }))
    onResolve({ filter: /^\.\/package-/ }, ({ path }) => ({ path, external: true }))
    onLoad({ filter, namespace: 'own-files' }, ({ path }) => ({
      contents: `module.exports = require('./${fileOf(path)}')`,
    }))
  },
}

const target = 'node24'
const options = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target,
  // The source stays in memory, so comments and white space would too. Names stay, for stack traces.
  minifyWhitespace: true,
  lineLimit: 120,
  legalComments: 'linked',
  // An optional package of `pg`, and two that `createApp` keeps Fastify from loading.
  external: ['pg-native', '@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler'],
} as const satisfies BuildOptions

for (const name of loadedOnUse) {
  const stdin = { contents: `module.exports = require('${name}')`, resolveDir: import.meta.dirname }
  await build({ ...options, stdin, outfile: join(cli, fileOf(name)) })
}
const bundle = join(cli, 'bundle.cjs')
await build({
  ...options,
  entryPoints: [join(cli, 'program.js')],
  outfile: bundle,
  plugins: [importMeta, ownFiles],
})
const loader = join(import.meta.dirname, 'bundle-loader.ts')
await build({ entryPoints: [loader], outfile: join(cli, 'program.js'), format: 'esm', target })

// V8 would keep the whole text at two bytes a character.
if (readFileSync(bundle).some((byte) => byte > 0x7f)) {
  throw new Error('The bundle has a character outside of ASCII, such as one in a tagged template.')
}
