// Every page of the center, by the places that its router has: center/src/web/mod.rs holds that none is forgotten here.

import { putLink } from './links.mjs';
import { declare, echo, ended, group, script, send } from './orders.mjs';

/** Where each page is, in a center that was furnished. */
export const PAGES = {
  '/': () => '/',
  '/account': () => '/account',
  '/audit': () => '/audit?result=done',
  '/customers': () => '/customers',
  '/gateways': () => '/gateways?sort=-name',
  '/gateways/import': () => '/gateways/import',
  '/gateways/new': () => '/gateways/new',
  '/gateways/{eui}': ({ eui }) => `/gateways/${eui}`,
  '/gateways/{eui}/software-update': ({ eui }) => `/gateways/${eui}/software-update?kind=jetporch`,
  '/gateways/{eui}/software-update/confirm': ({ eui }) => `/gateways/${eui}/software-update/confirm`,
  '/gateways/{eui}/software-update/send': ({ eui }) => `/gateways/${eui}/software-update/send`,
  '/groups': () => '/groups',
  '/groups/new': () => '/groups/new',
  '/groups/{group}': () => '/groups/north',
  '/groups/{group}/edit': () => '/groups/north/edit?search=7076',
  '/groups/{group}/software-update': () => '/groups/west/software-update?kind=jetporch',
  '/groups/{group}/software-update/confirm': () => '/groups/north/software-update/confirm',
  '/groups/{group}/software-update/send': () => '/groups/north/software-update/send',
  '/help/jetporch': () => '/help/jetporch',
  '/login': () => '/login',
  '/magic-links': () => '/magic-links',
  '/magic-links/{digest}': ({ link }) => `/magic-links/${link}`,
  '/set-up/{secret}': ({ setUp }) => setUp,
  '/updates': () => '/updates',
  '/updates/{id}': ({ failed }) => `/updates/${failed}`,
  '/updates/{id}/cancel': ({ staged }) => `/updates/${staged}/cancel`,
  '/updates/{id}/carry-out': ({ dry }) => `/updates/${dry}/carry-out`,
  '/updates/{id}/differences': ({ dry }) => `/updates/${dry}/differences`,
  '/updates/{id}/gateways/{eui}': ({ failed, eui }) => `/updates/${failed}/gateways/${eui}`,
  '/updates/{id}/gateways/{eui}/cancel': ({ staged, silent }) => `/updates/${staged}/gateways/${silent}/cancel`,
  '/updates/{id}/go-on': ({ staged }) => `/updates/${staged}/go-on`,
  '/updates/{id}/retry': ({ failed }) => `/updates/${failed}/retry`,
  '/users': () => '/users',
  '/users/{user}': () => '/users/ben',
  '/webhooks': () => '/webhooks',
  '/webhooks/{id}': ({ webhook }) => `/webhooks/${webhook}`,
};

/** Places that are no pages: what is there, and its type. A stream ends only with what it tells of. */
export const OTHERS = {
  '/gateways/export': [() => '/gateways/export', 'text/csv'],
  '/gateways/{eui}/live': [({ eui }) => `/gateways/${eui}/live`, 'text/event-stream'],
  '/static/{name}': [({ style }) => style, 'text/css'],
  '/updates/{id}/live': [({ failed }) => `/updates/${failed}/live`, 'text/event-stream'],
};

/** Two gateways that nobody has heard of yet. */
const SILENT = ['7076FF005600000A', '7076FF005600000B'];

// As long as names may be, and without a blank to break a line at.
const LONG = 'Mast-on-the-hill-behind-the-harbour-of-the-northern-island-group';

/** Makes something of each kind, with the gateways of the stage; tells where it is. */
export async function furnish(world) {
  const [eui] = world.stage.gateways;
  await declare(world, SILENT);
  await world.rest('PATCH', `/gateways/${SILENT[0]}`, { name: LONG, labels: ['roof', 'site:north'] });
  await world.rest('POST', '/customers', { name: 'harbour', description: LONG });
  const ben = await world.rest('POST', '/users', {
    login: 'ben', full_name: 'Ben of the Mast', roles: [{ customer: 'harbour', role: 'SERVICE_VIEWER' }],
  });
  const { webhook_id: webhook } = await world.rest('POST', '/webhooks', { url: 'https://hooks.example/keros' });
  const link = await putLink(world, { name: 'banner', description: 'a new banner', gateways: [eui] });
  await group(world, 'north', [...world.stage.gateways, SILENT[0]]);
  const some = await group(world, LONG.toLowerCase(), world.stage.gateways);
  const change = script('!template\n  content: "hello\\n"\n  dest: /etc/motd');
  const dry = await send(world, some.name, change, { dry_run: true });
  await ended(world, dry);
  const failed = await send(world, some.name, script('!shell\n  cmd: echo no carrier; exit 3'));
  await ended(world, failed);
  await group(world, 'west', SILENT);
  const staged = await world.rest('POST', '/updates', {
    group: 'west', job: { kind: 'jetporch', script: echo }, plan: { rollout: { stages: ['1'] } },
  });
  return {
    eui, silent: SILENT[0], link, webhook, setUp: ben.set_up_path,
    dry: dry.update_id, failed: failed.update_id, staged: staged.update_id,
  };
}
