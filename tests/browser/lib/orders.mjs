// Groups and updates as the stories need them, made by the REST API.

/** What a play of these tasks looks like; each task is one line of YAML or several. */
export const script = (...tasks) =>
  `- name: A play\n  groups: [all]\n  tasks:\n${tasks.map((task) => `    - ${task.replaceAll('\n', '\n      ')}\n`).join('')}`;

export const echo = script('!echo\n  msg: hello');

/** Declares gateways that have never been heard of. */
export async function declare(world, euis) {
  for (const eui of euis) await world.rest('POST', '/gateways', { eui });
}

/** A group of these gateways. */
export async function group(world, name, euis) {
  return world.rest('POST', '/groups', { name, gateways: euis });
}

/** Sends a script to a group; gives the update. */
export async function send(world, name, text, options = { confirm_window_s: 0 }) {
  return world.rest('POST', '/updates', { group: name, job: { kind: 'jetporch', script: text }, options });
}

/** Waits until all have ended. */
export async function ended(world, update) {
  return world.eventually('the update has ended', async () => {
    const view = await world.rest('GET', `/updates/${update.update_id}`);
    if (!view.ended) throw new Error(JSON.stringify(view));
    return view;
  });
}
