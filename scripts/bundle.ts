/**
 * Bundles the service that `npm run build` left in dist: `dist/cli/main.js` and its packages become a few
 * files. Each command, each driver and the OpenAPI document keeps a file of its own, loaded on use.
 *
 * The image runs the bundle, because its packages are those of the lock file. The npm package does not,
 * so that `npm audit` and `npm update` apply to the code that runs.
 */
import { readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { build, type Plugin } from 'esbuild'

const [folder = join(import.meta.dirname, '../dist')] = process.argv.slice(2)
const dist = resolve(folder)
const cli = join(dist, 'cli')

/** Keeps `import.meta` of each module, by which the service finds pages and child programs in dist. */
const importMeta: Plugin = {
  name: 'import-meta',
  setup({ onLoad }) {
    onLoad({ filter: /\.js$/ }, ({ path }) => {
      const code = readFileSync(path, 'utf8')
      if (!path.startsWith(`${dist}/`) || !code.includes('import.meta')) return
      const place = JSON.stringify(relative(cli, path))
      const url = `new URL(${place}, bundleMeta.url).href`
      const meta = `{ url: ${url}, filename: bundleMeta.dirname + '/' + ${place} }`
      const contents = code
        .replaceAll('import.meta', 'ownMeta')
        // After the line that names the interpreter.
        .replace(/^(#!.*\n)?/, (line) => `${line}const ownMeta = ${meta}\n`)
      return { contents, resolveDir: dirname(path) }
    })
  },
}

await build({
  entryPoints: [join(cli, 'main.js')],
  outdir: cli,
  allowOverwrite: true,
  bundle: true,
  splitting: true,
  chunkNames: 'bundle-[hash]',
  platform: 'node',
  format: 'esm',
  target: 'node24',
  legalComments: 'inline',
  // An optional package of `pg`.
  external: ['pg-native'],
  plugins: [importMeta],
  // Packages in CommonJS need these names.
  banner: {
    js: `import { createRequire as createBundleRequire } from 'node:module'
const bundleMeta = import.meta
const require = createBundleRequire(bundleMeta.url)
const { filename: __filename, dirname: __dirname } = bundleMeta`,
  },
})
