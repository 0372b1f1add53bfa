// Groups: what they are made of, and how many there may be.

import assert from 'node:assert/strict';

export async function a_group_has_a_customer_a_required_name_a_description_and_alerting_that_is_off(world) {
  await world.rest('POST', '/customers', { name: 'harbour' });
  for (const scripts of [true, false]) {
    const page = await world.loggedIn({ scripts });
    const name = scripts ? 'north' : 'south';
    await page.goto('/groups');
    await page.getByRole('link', { name: 'New group' }).click();
    const alerting = page.getByLabel(/^Alerting/);
    assert.equal(await alerting.isChecked(), false, 'alerting is off unless it is chosen');
    await page.getByLabel(/^Customer/).selectOption('harbour');
    await page.getByLabel(/^Description/).fill('the cranes');
    if (scripts) await world.check(page);
    // Without a name the browser does not even send it, and the center would refuse.
    await page.getByRole('button', { name: 'CREATE' }).click();
    assert.equal(await page.getByLabel(/^Name/).evaluate((field) => field.validity.valueMissing), true);
    assert.equal(new URL(page.url()).pathname, '/groups/new');
    const csrf = await page.locator('main input[name=csrf]').inputValue();
    assert.equal((await page.request.post('/groups', { form: { csrf, name: '', description: '' } })).status(), 422);
    await page.getByLabel(/^Name/).fill(name);
    await page.getByRole('button', { name: 'CREATE' }).click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await page.getByText('the cranes').waitFor();
    const facts = await page.locator('dl.facts').first().innerText();
    assert.match(facts, /Customer\s+harbour/);
    assert.match(facts, /Alerting\s+off/);
    const group = await world.rest('GET', `/groups/${name}`);
    const { customer, description, alerting: alerts } = group;
    assert.deepEqual({ customer, description, alerts }, { customer: 'harbour', description: 'the cranes', alerts: false });
  }
  // It is on for whoever chooses it.
  const page = await world.loggedIn();
  await page.goto('/groups/new');
  await page.getByLabel(/^Name/).fill('west');
  await page.getByLabel(/^Alerting/).check();
  await page.getByRole('button', { name: 'CREATE' }).click();
  await page.getByRole('heading', { level: 1, name: 'west' }).waitFor();
  assert.equal((await world.rest('GET', '/groups/west')).alerting, true);
}

export async function a_customer_has_at_most_100_groups(world) {
  await world.rest('POST', '/customers', { name: 'harbour' });
  for (let number = 1; number < 100; number += 1) await world.rest('POST', '/groups', { name: `group ${number}`, customer: 'harbour' });
  const page = await world.loggedIn();
  const make = async (name, customer) => {
    await page.goto('/groups/new');
    await page.getByLabel(/^Customer/).selectOption(customer);
    await page.getByLabel(/^Name/).fill(name);
    await page.getByRole('button', { name: 'CREATE' }).click();
  };
  await make('the last', 'harbour');
  await page.getByRole('heading', { level: 1, name: 'the last' }).waitFor();
  await make('one too many', 'harbour');
  await page.getByRole('alert').getByText('has 100 groups, as many as a customer may have').waitFor();
  world.refused(409);
  // What was filled in is still there, and another customer has its own hundred.
  assert.equal(await page.getByLabel(/^Name/).inputValue(), 'one too many');
  assert.equal(await page.getByLabel(/^Customer/).locator('option:checked').innerText(), 'harbour');
  await world.check(page);
  await make('one too many', 'main');
  await page.getByRole('heading', { level: 1, name: 'one too many' }).waitFor();
  const groups = await world.rest('GET', '/groups');
  assert.equal(groups.filter(({ customer }) => customer === 'harbour').length, 100);
}
