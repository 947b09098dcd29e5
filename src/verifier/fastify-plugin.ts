import type { FastifyPluginAsync, FastifyPluginOptions } from 'fastify'

export interface PluginMetadata {
  readonly name: string
  /** Names of the plugins that must be registered first. */
  readonly dependencies?: readonly string[]
}

/**
 * Marks a plugin in the way of the package `fastify-plugin`, because the verifier has no
 * dependencies. Hooks and decorators then apply to the scope that registers the plugin, and Fastify
 * checks its own version.
 */
export function markPlugin<Options extends FastifyPluginOptions>(
  plugin: FastifyPluginAsync<Options>,
  metadata: PluginMetadata,
): FastifyPluginAsync<Options> {
  return Object.assign(plugin, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: metadata.name,
    [Symbol.for('plugin-meta')]: { fastify: '5.x', ...metadata },
  })
}
