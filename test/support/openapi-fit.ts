/** Whether answers are what the OpenAPI document says of their route: every one that a test sees. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";

interface Operation {
  readonly responses: Readonly<Record<string, { readonly content: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema: object }>>;

interface ApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

interface SeenAnswer {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly status: number;
  readonly type: string;
  readonly body: unknown;
}

export interface Fit {
  /** Throws with what does not fit; what is no route must be a problem. */
  readonly check: (answer: SeenAnswer) => void;
  /** `get /v1/status` and the like, of every answer that was checked. */
  readonly seen: ReadonlySet<string>;
}

/** Of the document that the API itself gives. */
export async function fitOf(url: string): Promise<Fit> {
  return openFit((await (await fetch(`${url}/v1/openapi.json`)).json()) as ApiDocument);
}

function openFit(document: ApiDocument): Fit {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: "doc", ...document });
  const compiled = new Map<string, ValidateFunction>();
  const seen = new Set<string>();
  const forms = Object.keys(document.paths).map((path) => ({
    path,
    form: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  }));

  function schemaAt(pointer: readonly string[]): ValidateFunction {
    const parts = pointer.map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1"));
    const ref = `doc#/${parts.map(encodeURIComponent).join("/")}`;
    const known = compiled.get(ref) ?? ajv.compile({ $ref: ref });
    compiled.set(ref, known);
    return known;
  }

  return {
    seen,
    check({ method, path, status, type, body }) {
      const [bare = ""] = path.split("?");
      const verb = method.toLowerCase();
      const route = forms.find(
        ({ path: named, form }) => form.test(bare) && document.paths[named]?.[verb] !== undefined,
      )?.path;
      const [media = ""] = type.split(";");
      if (media === "text/html") return;
      const said =
        route === undefined ? undefined : document.paths[route]?.[verb]?.responses[String(status)];
      const key = said === undefined ? "default" : String(status);
      if (route !== undefined) seen.add(`${verb} ${route}`);
      const what = `${verb} ${path} ${status} ${media}`;
      const pointer =
        route === undefined
          ? ["components", "schemas", "Problem"]
          : ["paths", route, verb, "responses", key, "content", media, "schema"];
      const validate = schemaAt(pointer);
      if (validate(body) === true) return;
      throw new Error(`${what}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(body)}`);
    },
  };
}
