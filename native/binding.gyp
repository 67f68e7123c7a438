{
  'targets': [
    {
      'target_name': 'dtunnel',
      'sources': [
        'addon/convert.cc',
        'addon/host_calls.cc',
        'addon/module.cc',
        'os/icmp.cc',
        'os/notify.cc',
        'os/thread.cc',
        'os/wakeup.cc',
      ],
      'include_dirs': ['.'],
      'defines': ['NAPI_VERSION=9', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'],
      'cflags!': ['-O3', '-fno-omit-frame-pointer'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fexceptions', '-frtti'],
      # The flags of a network-facing daemon: what overflows must stop, what is read must have been written.
      'cflags_cc': [
        '-std=c++20', '-O2', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden',
        '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wshadow', '-Werror',
        '-D_FORTIFY_SOURCE=3', '-D_GLIBCXX_ASSERTIONS', '-fstack-protector-strong', '-fstack-clash-protection',
        '-ftrivial-auto-var-init=zero',
        # As a system header: our warnings are not for it.
        '-isystem', '<!(node -p "require(\'node-addon-api\').include_dir.replace(/^/, process.cwd() + \'/\')")',
      ],
      'ldflags': ['-Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code'],
      'conditions': [
        # popcnt and pshufb, which every x86 server since 2009 has; anything newer is chosen at run time.
        ['target_arch=="x64"', { 'cflags_cc': ['-march=x86-64-v2', '-fcf-protection=full'] }],
      ],
    },
  ],
}
