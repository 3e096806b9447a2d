/** A policy set whose role links and users are live data, for tests of the routes and commands that change it. */
import type { PolicyFiles } from '../http/service.js';

const model = `[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act

[role_definition]
g = _, _
g2 = _, _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = g(r.sub, p.sub) && r.obj == p.obj && r.act == p.act
`;

const files = {
  'model.conf': model,
  'rules.csv': 'p, editor, article, edit\np, author, article, write\ng, editor, author\ng, user:root, editor\n',
  'policy-set.yaml': 'request: { sub: "${subject.type}:${subject.id}" }\ndata: { roles: [g, g2], entities: [user] }\n',
  'entities.yaml': '- { type: robot, id: r2 }\n',
};

/** The sets `desk` and `shop`, which have live data, and `plain`, which has none. */
export const liveSets: PolicyFiles = {
  ...Object.fromEntries(
    ['desk', 'shop'].flatMap((set) => Object.entries(files).map(([path, text]) => [`${set}/${path}`, text])),
  ),
  'plain/model.conf': model,
  'plain/rules.csv': 'p, editor, article, edit\n',
};
