/** The product's version, as it stands in manifests and in the help. */
export const VERSION = '0.1.0';
